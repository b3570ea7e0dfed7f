-- One step on a budget that several processes share. Times are microseconds of this server, answers whole numbers.
--
-- KEYS  left: id -> when it left; tokens: id -> what it costs; line: id -> its number in line;
--       leases: id -> when its place ends; state: everything else
-- tokens holds those in line, too.
-- ARGV  step, length of a lease, length of a minute's window, and by step:
--       take  id, tokens, token limit, spare (parts per million), n, then n times: count, window, whether by minute
--             -> {0, 0} let out | {1, milliseconds until it is worth asking again} | {2, token limit}: never
--       sent  id
--       back  id
--       done  id, tokens, request limit, token limit, requests left, tokens left (-1 where not told), pause
local left, tokens, line, leases, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local step, lease, minute, id = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local soon = 25000

-- Lua writes large numbers with 14 digits, and a time has 16.
local function text(number)
  return string.format('%.0f', number)
end

local function stored(name)
  return tonumber(redis.call('HGET', state, name) or '0')
end

local function cost(of)
  return tonumber(redis.call('HGET', tokens, of) or '0')
end

local function forget(ids)
  for _, old in ipairs(ids) do
    redis.call('ZREM', left, old)
    redis.call('HDEL', tokens, old)
  end
end

local function leave(ids)
  for _, gone in ipairs(ids) do
    redis.call('ZREM', line, gone)
    redis.call('ZREM', leases, gone)
  end
end

local function keep(horizon)
  local milliseconds = text(math.ceil((horizon + lease) / 1000))
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, milliseconds)
  end
end

-- What left within a window, oldest first, with the times: {id, time, id, time, ...}
local function within(window)
  return redis.call('ZRANGEBYSCORE', left, '(' .. text(now - window), '+inf', 'WITHSCORES')
end

-- Until when so many of them, and of what others used, are out of the window. Where that is not enough, somebody ahead
-- in line has to leave first.
local function until_gone(entries, window, too_many, foreign, foreign_until)
  local leaving = {}
  for index = 2, #entries, 2 do
    table.insert(leaving, tonumber(entries[index]) + window)
  end
  for _ = 1, foreign do
    table.insert(leaving, foreign_until)
  end
  table.sort(leaving)
  return leaving[too_many] or math.max(leaving[#leaving] or 0, now + soon)
end

local horizon = math.max(stored('horizon'), minute)

if step == 'sent' then
  redis.call('ZADD', left, text(now), id)
elseif step == 'back' then
  forget({id})
  leave({id})
elseif step == 'done' then
  local spent, limit, token_limit = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  local rest, token_rest, pause = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
  if spent >= 0 and redis.call('ZSCORE', left, id) then
    redis.call('HSET', tokens, id, text(spent))
  end
  if limit >= 0 or token_limit >= 0 then
    local ours, our_tokens, entries = 0, 0, within(minute)
    for index = 1, #entries, 2 do
      ours = ours + 1
      our_tokens = our_tokens + cost(entries[index])
    end
    local foreign = (limit >= 0 and rest >= 0) and math.max(0, limit - rest - ours) or 0
    local foreign_tokens = (token_limit >= 0 and token_rest >= 0) and math.max(0, token_limit - token_rest - our_tokens) or 0
    if limit >= 0 then redis.call('HSET', state, 'limit', text(math.max(1, limit))) end
    if token_limit >= 0 then redis.call('HSET', state, 'token_limit', text(token_limit)) end
    redis.call('HSET', state, 'foreign', text(foreign), 'foreign_tokens', text(foreign_tokens),
      'foreign_until', text(now + minute))
  end
  if pause > 0 then
    redis.call('HSET', state, 'paused', text(math.max(stored('paused'), now + pause)))
  end
elseif step == 'take' then
  local wanted, token_limit, spare, count = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
  local rates = {}
  for index = 9, 8 + 3 * count, 3 do
    local rate = {tonumber(ARGV[index]), tonumber(ARGV[index + 1]), ARGV[index + 2] == '1'}
    horizon = math.max(horizon, rate[2])
    table.insert(rates, rate)
  end
  local part = 1 - spare / 1000000
  local learned, learned_tokens = stored('limit'), stored('token_limit')
  if learned > 0 then
    table.insert(rates, {math.max(1, math.floor(learned * part + 1e-9)), minute, true})
  end
  if learned_tokens > 0 then
    local most = math.max(1, math.floor(learned_tokens * part + 1e-9))
    token_limit = token_limit > 0 and math.min(token_limit, most) or most
  end
  if token_limit > 0 and wanted > token_limit then
    leave({id})
    redis.call('HDEL', tokens, id)
    return {2, token_limit}
  end

  redis.call('HSET', state, 'horizon', text(horizon))
  forget(redis.call('ZRANGEBYSCORE', left, '-inf', text(now - horizon)))
  local dead = redis.call('ZRANGEBYSCORE', leases, '-inf', text(now))
  leave(dead)
  for _, gone in ipairs(dead) do
    redis.call('HDEL', tokens, gone)
  end
  if not redis.call('ZSCORE', line, id) then
    redis.call('ZADD', line, redis.call('HINCRBY', state, 'number', 1), id)
  end
  redis.call('ZADD', leases, text(now + lease), id)
  redis.call('HSET', tokens, id, text(wanted))
  keep(horizon)

  -- Whoever is ahead has not asked again yet, and counts as if it had gone: nobody is overtaken at its expense, and
  -- nobody waits for those whose turn it is anyway.
  local ahead, tokens_ahead = redis.call('ZRANK', line, id), 0
  if ahead > 0 and token_limit > 0 then
    for _, other in ipairs(redis.call('ZRANGE', line, 0, ahead - 1)) do
      tokens_ahead = tokens_ahead + cost(other)
    end
  end
  local foreign, foreign_tokens, foreign_until = 0, 0, stored('foreign_until')
  if now < foreign_until then
    foreign, foreign_tokens = stored('foreign'), stored('foreign_tokens')
  end
  local free = stored('paused')
  for _, rate in ipairs(rates) do
    local entries, others = within(rate[2]), rate[3] and foreign or 0
    local too_many = #entries / 2 + others + ahead - rate[1] + 1
    if too_many > 0 then
      free = math.max(free, until_gone(entries, rate[2], too_many, others, foreign_until))
    end
  end
  if token_limit > 0 then
    local entries, leaving = within(minute), {{foreign_until, foreign_tokens}}
    local used = foreign_tokens + tokens_ahead
    for index = 1, #entries, 2 do
      local spent = cost(entries[index])
      used = used + spent
      table.insert(leaving, {tonumber(entries[index + 1]) + minute, spent})
    end
    table.sort(leaving, function(one, other) return one[1] < other[1] end)
    for _, gone in ipairs(leaving) do
      if used + wanted <= token_limit then break end
      used = used - gone[2]
      free = math.max(free, gone[1])
    end
    if used + wanted > token_limit then
      free = math.max(free, now + soon)
    end
  end
  if free > now then
    return {1, math.ceil((free - now) / 1000)}
  end
  leave({id})
  redis.call('ZADD', left, text(now), id)
end
keep(horizon)
return {0, 0}
