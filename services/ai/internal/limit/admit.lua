-- Counts a call in, or counts nothing and says which limit it would exceed. Times are microseconds.
-- KEYS: the account, its running calls, its running streams, then each API key and its running streams.
-- ARGV: now ("" for the server's time), requests per minute, requests per day, concurrent calls, tokens per minute,
-- the tokens wanted, the tokens taken, the ticket, the ticket's life, 1 for a stream, concurrent streams, then of each API key:
-- requests per minute, requests per day, concurrent streams, tokens per minute.
-- Returns {0, 0, 0, start of the window of tokens, now, start, count and past count of the window of requests, count and past
-- count of that of tokens, requests of the day, then of each API key: start, count and past count of the window of requests, the
-- same of that of tokens, requests of the day} or {kind, index of the API key, wait, what remains}.
local MINUTE, DAY = 60000000, 86400000000
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function text(n) return string.format('%.0f', n) end

local function window(key, name)
  local v = redis.call('HMGET', key, name .. 's', name .. 'n', name .. 'p')
  local w = {s = tonumber(v[1]) or now, n = tonumber(v[2]) or 0, p = tonumber(v[3]) or 0}
  local passed = now - w.s
  if passed >= 2 * MINUTE then
    w.s, w.n, w.p = now, 0, 0
  elseif passed >= MINUTE then
    w.s, w.n, w.p = w.s + MINUTE, 0, w.n
  end
  if w.n == 0 and w.p == 0 then w.s = now end
  return w
end

-- How far into a window the share of the past count has shrunk to room, in whole milliseconds; below 0 if it never does.
local function fade(past, room)
  if room < 0 then return -1 end
  if past <= room then return 0 end
  return math.floor((60000 * (past - room) + past - 1) / past) * 1000
end

local function wait(w, n, limit)
  if limit <= 0 then return 0 end
  n = math.min(n, limit)
  local elapsed = now - w.s
  local d = fade(w.p, limit - n - w.n)
  if d >= 0 then return math.max(0, d - elapsed) end
  return MINUTE - elapsed + math.max(0, fade(w.n, limit - n))
end

local function save(key, name, w)
  redis.call('HSET', key, name .. 's', text(w.s), name .. 'n', text(w.n), name .. 'p', text(w.p))
end

local perMinute, perDay, concurrent = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local perMinuteTokens, wanted, taken = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local account, running, streams = KEYS[1], KEYS[2], KEYS[3]

local stream = ARGV[10] == '1'
local day = math.floor(now / DAY)

local function requestsOf(key)
  local stored = redis.call('HMGET', key, 'd', 'dn')
  if tonumber(stored[1]) == day then return tonumber(stored[2]) end
  return 0
end

local function left(w, limit)
  return math.max(0, limit - w.n - math.ceil(w.p * (60000 - math.floor((now - w.s) / 1000)) / 60000))
end

-- Reports whether a set has as many running calls as it may have.
local function full(set, most)
  redis.call('ZREMRANGEBYSCORE', set, '-inf', text(now))
  return most > 0 and redis.call('ZCARD', set) >= most
end

local function run(set)
  redis.call('ZADD', set, text(now + tonumber(ARGV[9])), ARGV[8])
  redis.call('PEXPIRE', set, 180000)
end

local keys = {}
for i = 1, (#KEYS - 3) / 2 do
  local at = 8 + 4 * i
  local k = {id = KEYS[2 * i + 2], streams = KEYS[2 * i + 3], perMinuteTokens = tonumber(ARGV[at + 3])}
  k.requests, k.tokens, k.today = window(k.id, 'r'), window(k.id, 't'), requestsOf(k.id)
  keys[i] = k
  local d = wait(k.requests, 1, tonumber(ARGV[at]))
  if d > 0 then return {1, i - 1, d, 0} end
  local perDay = tonumber(ARGV[at + 1])
  if perDay > 0 and k.today >= perDay then return {6, i - 1, (day + 1) * DAY - now, 0} end
  if stream and full(k.streams, tonumber(ARGV[at + 2])) then return {7, i - 1, 0, 0} end
  d = wait(k.tokens, wanted, k.perMinuteTokens)
  if d > 0 then return {8, i - 1, d, left(k.tokens, k.perMinuteTokens)} end
end
local requests = window(account, 'r')
local d = wait(requests, 1, perMinute)
if d > 0 then return {2, 0, d, 0} end
local today = requestsOf(account)
if perDay > 0 and today >= perDay then return {3, 0, (day + 1) * DAY - now, 0} end
if full(running, concurrent) then return {4, 0, 0, 0} end
if stream and full(streams, tonumber(ARGV[11])) then return {9, 0, 0, 0} end
local tokens = window(account, 't')
d = wait(tokens, wanted, perMinuteTokens)
if d > 0 then return {5, 0, d, left(tokens, perMinuteTokens)} end

for _, k in ipairs(keys) do
  k.requests.n, k.tokens.n = k.requests.n + 1, k.tokens.n + math.min(wanted, k.perMinuteTokens)
  save(k.id, 'r', k.requests)
  save(k.id, 't', k.tokens)
  redis.call('HSET', k.id, 'd', text(day), 'dn', text(k.today + 1))
  redis.call('PEXPIRE', k.id, 90000000)
  if stream then run(k.streams) end
end
requests.n, tokens.n = requests.n + 1, tokens.n + taken
save(account, 'r', requests)
save(account, 't', tokens)
redis.call('HSET', account, 'd', text(day), 'dn', text(today + 1))
redis.call('PEXPIRE', account, 90000000)
run(running)
if stream then run(streams) end
local result = {0, 0, 0, tokens.s, now, requests.s, requests.n, requests.p, tokens.n, tokens.p, today + 1}
for _, k in ipairs(keys) do
  for _, value in ipairs({k.requests.s, k.requests.n, k.requests.p, k.tokens.s, k.tokens.n, k.tokens.p, k.today + 1}) do result[#result + 1] = value end
end
return result
