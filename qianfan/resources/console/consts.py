"""The platform's enumerations, one home each.

Members carry the value that travels on the wire. The platform may add values at any time, so models that read
answers type such a field as `KnownEnum | str` (or `| int`) and keep what they do not know.
"""

from __future__ import annotations

from enum import Enum

# --- training ------------------------------------------------------------------------------------------------


class TrainMode(str, Enum):
    """What a job does with its data."""

    SFT = "SFT"
    PostPretrain = "PostPretrain"
    DPO = "DPO"
    KTO = "KTO"


class PeftType(str, Enum):
    """How many of a model's weights a task trains; the platform's `parameterScale`.

    Looking a member up by value also takes the spellings of older releases (`ALL`, `P-tuning`), in any case.
    """

    ALL = "FullFineTuning"
    PTuning = "PromptTuning"
    LoRA = "LoRA"

    # The platform's own words, as second names of the same members.
    FullFineTuning = ALL
    PromptTuning = PTuning

    @classmethod
    def _missing_(cls, value: object) -> PeftType | None:
        if not isinstance(value, str):
            return None
        wanted = value.replace("-", "").replace("_", "").casefold()
        return next((member for name, member in cls.__members__.items() if name.casefold() == wanted), None)


TrainParameterScale = PeftType
"""The name the platform uses for the same choice."""


class TrainStatus(str, Enum):
    """State of one training task (V2 `runStatus`). Right after its creation a task may have no state at all."""

    Waiting = "Waiting"
    Running = "Running"
    Done = "Done"
    Failed = "Failed"
    Stopped = "Stopped"

    # Names that older code uses.
    Finish = Done
    Fail = Failed
    Stop = Stopped

    @property
    def is_final(self) -> bool:
        """Whether the task will not change any more."""
        return self in (TrainStatus.Done, TrainStatus.Failed, TrainStatus.Stopped)


class TrainStatusV1(str, Enum):
    """State of one training run as V1 spells it (`trainStatus`)."""

    Running = "RUNNING"
    Finish = "FINISH"
    Fail = "FAIL"
    Stop = "STOP"

    @property
    def current(self) -> TrainStatus:
        """The same state in today's words."""
        return _CURRENT_STATUS[self]


_CURRENT_STATUS = {
    TrainStatusV1.Running: TrainStatus.Running,
    TrainStatusV1.Finish: TrainStatus.Done,
    TrainStatusV1.Fail: TrainStatus.Failed,
    TrainStatusV1.Stop: TrainStatus.Stopped,
}


class FinetuneSupportModelType(str, Enum):
    """What goes into a model and what comes out."""

    Text2Text = "text2text"
    Text2Image = "text2image"
    ImageUnderstanding = "imageUnderstanding"


class TrainDatasetSourceType(str, Enum):
    """Where a task finds its data. All data of one task come from one kind of place."""

    Platform = "Platform"
    PrivateBos = "Bos"
    PrivateAfs = "Afs"


class CorpusType(int, Enum):
    """The platform's own texts that can be mixed into the training data."""

    Qianfan = 1
    YiyanGeneral = 2
    YiyanDomain = 3


# --- models and services ---------------------------------------------------------------------------------------


class ModelState(str, Enum):
    """State of a model version."""

    Creating = "Creating"
    Ready = "Ready"
    Fail = "Fail"


class ServiceType(str, Enum):
    """What a deployed service understands. Values of the wire (`chat`, `completions`) are taken as well."""

    Chat = "Chat"
    Completion = "Completion"
    Embedding = "Embedding"
    Text2Image = "Text2Image"

    @classmethod
    def _missing_(cls, value: object) -> ServiceType | None:
        if not isinstance(value, str):
            return None
        wanted = value.casefold().removesuffix("s")
        return next((member for member in cls if member.value.casefold() == wanted), None)


class ServiceStatus(str, Enum):
    """State of a deployment. `Done` is V1's word for `Serving`."""

    New = "New"
    Deploying = "Deploying"
    Serving = "Serving"
    Done = "Done"
    Failed = "Failed"
    Stopped = "Stopped"

    @property
    def is_ready(self) -> bool:
        """Whether the service answers requests."""
        return self in (ServiceStatus.Serving, ServiceStatus.Done)

    @property
    def is_pending(self) -> bool:
        """Whether waiting longer makes sense."""
        return self in (ServiceStatus.New, ServiceStatus.Deploying)


class DeployPoolType(int, Enum):
    """Which machines a service runs on."""

    PublicResource = 1
    PrivateResource = 2


class ModelTypePreset(int, Enum):
    """Kind of a preset model in V1's listing."""

    TextGC = 0
    ImageGC = 1
    VectorModel = 4
    Image2Text = 5
    IndustryModel = 6


class ModelTypeUser(int, Enum):
    """Kind of one's own model in V1's listing."""

    LargeLanguageModel = 0
    Text2Image = 1
    IndustrySearchModel = 2
    TextRepresentationModel = 3
    VectorModel = 4
    Image2Text = 5


class CustomModelSetModelType(str, Enum):
    """What the versions of a new model set are for."""

    Text2Text = "Text2Text"
    Text2Image = "Text2Image"
    TextRepresentation = "TextRepresentation"
    ImageUnderstanding = "ImageUnderstanding"
    Industry = "Industry"


class CreateCustomModelSourceType(str, Enum):
    """Where a model version comes from: a training run, or files in a bucket."""

    Train = "Train"
    Import = "Import"


class ModelCompTaskStatus(str, Enum):
    """State of a compression."""

    Creating = "creating"
    Running = "running"
    Succeeded = "succeeded"
    Failed = "failed"
    Stopping = "stopping"
    Stopped = "stopped"


class ModelCompStrategy(str, Enum):
    """How to make a model smaller."""

    Quantization = "Quantization"
    Sparsity = "Sparsity"


class ModelQuantizationWeight(str, Enum):
    """Number formats a quantized model can have."""

    INT8PTQ = "INT8-PTQ"
    W8A16C16 = "W8A16C16"
    W4A16C16 = "W4A16C16"


# --- datasets, V1 numbers ----------------------------------------------------------------------------------------


class DataTemplateType(int, Enum):
    """The kind of rows in a dataset (`templateType`)."""

    NonSortedConversation = 2000
    SortedConversation = 2001
    PromptChosenRejected = 2002
    GenericText = 40100
    QuerySet = 40200
    Text2Image = 70500

    @property
    def project_type(self) -> DataProjectType:
        """The family that the kind belongs to: its leading digits."""
        return DataProjectType(self.value // 100)

    @property
    def set_type(self) -> DataSetType:
        """Whether the rows are text alone."""
        return DataSetType.MultiModel if self is DataTemplateType.Text2Image else DataSetType.TextOnly


class DataProjectType(int, Enum):
    """Family of dataset kinds (`projectType`)."""

    Conversation = 20
    GenericText = 401
    QuerySet = 402
    Text2Image = 705


class DataSetType(int, Enum):
    """Text alone, or text with images (`dataType`)."""

    TextOnly = 4
    MultiModel = 7


class DataStorageType(str, Enum):
    """Who owns the storage behind a dataset: the platform or the user's own bucket."""

    PublicBos = "sysBos"
    PrivateBos = "usrBos"


class DataSourceType(int, Enum):
    """Where an import reads from: a bucket, or a shared link to an archive (`importFrom`)."""

    PrivateBos = 1
    SharedZipUrl = 2


class DataExportDestinationType(int, Enum):
    """Where an export goes (`exportTo`)."""

    PlatformBos = 0
    PrivateBos = 1


class DataExportType(int, Enum):
    """What an export holds (`exportType`)."""

    WithAnnotations = 1
    WithoutAnnotations = 2


class DataImportStatus(int, Enum):
    """State of an import. Before the first one it is -1, or 0 in some answers."""

    NotStarted = -1
    Initialized = 0
    Running = 1
    Finished = 2
    Failed = 3
    Terminated = 4


class DataReleaseStatus(int, Enum):
    """State of a release. A finished one is final: the dataset takes no more changes."""

    NotRelease = 0
    NotStarted = NotRelease
    """The same in older code."""
    Running = 1
    Finished = 2
    Failed = 3


class DataExportStatus(int, Enum):
    """State of an export."""

    NotStarted = -1
    Initialized = 0
    Running = 1
    Finished = 2
    Failed = 3


class ETLTaskStatus(int, Enum):
    """State of a cleaning task."""

    NotStarted = 0
    NoTask = NotStarted
    """The same in older code."""
    Running = 1
    Finished = 2
    Interrupted = 3
    Failed = 4
    Paused = 5


class AugmentingStatus(int, Enum):
    """State of an augmentation, as far as the platform tells what its numbers mean."""

    Finished = 3
    Failed = 4


class EntityListingType(int, Enum):
    """Which rows of a dataset to list (`tabType`)."""

    All = 0
    AnnotatedOnly = 1
    NotAnnotatedOnly = 2


# --- datasets, V2 words ------------------------------------------------------------------------------------------


class DataFormat(str, Enum):
    """The kind of rows in a dataset, as V2 spells it (`dataFormat`)."""

    PromptResponse = "PromptResponse"
    PromptSortedResponses = "PromptSortedresponses"
    PromptChosenRejected = "DPO_PromptChosenRejected"
    DPOPromptChosenRejected = PromptChosenRejected
    KTOPromptChosenRejected = "KTO_PromptChosenRejected"
    Text = "Text"
    Prompt = "Prompt"
    PromptImage = "PromptImage"
    PromptImageResponse = "PromptImageResponse"
    Role = "Role"
    SFTFIM = "SFT_FIM"


class DataStorage(str, Enum):
    """Who owns the storage behind a dataset, as V2 spells it (`storageType`)."""

    Platform = "sysStorage"
    SysStorage = Platform
    Bos = "BOS"


class V2:
    """Enumerations of V2 by their documented names."""

    DatasetFormat = DataFormat
    StorageType = DataStorage


class ImportStatus(str, Enum):
    """State of an import, as V2 spells it."""

    Created = "Created"
    Importing = "Importing"
    ImportFinished = "ImportFinished"
    ImportFailed = "ImportFailed"


class PublishStatus(str, Enum):
    """State of a release, as V2 spells it."""

    Unpublished = "Unpublished"
    Publishing = "Publishing"
    Published = "Published"
    PublishFailed = "PublishFailed"


class ExportStatus(str, Enum):
    """State of an export, as V2 spells it."""

    Exporting = "Exporting"
    ExportFinished = "ExportFinished"
    ExportFailed = "ExportFailed"


class EvaluationTaskStatus(str, Enum):
    """State of an evaluation, and of each model in it."""

    Editing = "Editing"
    Pending = "Pending"
    Doing = "Doing"
    DoingWithManualBegin = "DoingWithManualBegin"
    """The answers are there, and people can judge them."""
    Stopping = "Stopping"
    Done = "Done"
    PartlyDone = "PartlyDone"
    """Some models could be evaluated and some could not."""
    Failed = "Failed"
    Stopped = "Stopped"


class EvaluationResultExportDestinationType(str, Enum):
    """Where the answers of an evaluation are exported to."""

    PublicBos = "local"
    PrivateBos = "storage"


class EvaluationResultExportRange(str, Enum):
    """Which answers are exported."""

    Total = "total"
    Part = "part"


class EvaluationResultExportField(str, Enum):
    """What is exported of an answer."""

    Prompt = "prompt"
    Prediction = "prediction"
    """What the model said."""
    Completion = "completion"
    """What the dataset says."""
    Metrics = "metrics"


class EvaluationResultExportTaskStatus(str, Enum):
    """State of an export of answers."""

    Pending = "Pending"
    Uploading = "Uploading"
    Fail = "Fail"
    Done = "Done"


class BatchInferenceStatus(str, Enum):
    """State of an offline batch inference."""

    Queuing = "Queuing"
    Running = "Running"
    Done = "Done"
    Stopping = "Stopping"
    Stopped = "Stopped"
    Failed = "Failed"
    Expired = "Expired"
