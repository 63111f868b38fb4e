-- Counts a call in, or counts nothing and says which limit it would exceed. Times are microseconds.
-- KEYS: the account, its running calls, then its API keys.
-- ARGV: now ("" for the server's time), requests per minute, requests per day, concurrent calls, tokens per minute,
-- the tokens wanted, the tokens taken, the ticket, the ticket's life, then the requests per minute of each API key.
-- Returns {0, 0, 0, start of the window of tokens, now, start, count and past count of the window of requests, count and past
-- count of that of tokens, requests of the day, then start, count and past count of each API key} or {kind, index of the API key,
-- wait, what remains}.
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
local account, running = KEYS[1], KEYS[2]

local keys = {}
for i = 3, #KEYS do
  keys[i] = window(KEYS[i], 'r')
  local d = wait(keys[i], 1, tonumber(ARGV[7 + i]))
  if d > 0 then return {1, i - 3, d, 0} end
end
local requests = window(account, 'r')
local d = wait(requests, 1, perMinute)
if d > 0 then return {2, 0, d, 0} end
local stored = redis.call('HMGET', account, 'd', 'dn')
local day, today = math.floor(now / DAY), 0
if tonumber(stored[1]) == day then today = tonumber(stored[2]) end
if perDay > 0 and today >= perDay then return {3, 0, (day + 1) * DAY - now, 0} end
redis.call('ZREMRANGEBYSCORE', running, '-inf', text(now))
if concurrent > 0 and redis.call('ZCARD', running) >= concurrent then return {4, 0, 0, 0} end
local tokens = window(account, 't')
d = wait(tokens, wanted, perMinuteTokens)
if d > 0 then
  return {5, 0, d, math.max(0, perMinuteTokens - tokens.n - math.ceil(tokens.p * (60000 - math.floor((now - tokens.s) / 1000)) / 60000))}
end

for i = 3, #KEYS do
  keys[i].n = keys[i].n + 1
  save(KEYS[i], 'r', keys[i])
  redis.call('PEXPIRE', KEYS[i], 180000)
end
requests.n, tokens.n = requests.n + 1, tokens.n + taken
save(account, 'r', requests)
save(account, 't', tokens)
redis.call('HSET', account, 'd', text(day), 'dn', text(today + 1))
redis.call('PEXPIRE', account, 90000000)
redis.call('ZADD', running, text(now + tonumber(ARGV[9])), ARGV[8])
redis.call('PEXPIRE', running, 180000)
local result = {0, 0, 0, tokens.s, now, requests.s, requests.n, requests.p, tokens.n, tokens.p, today + 1}
for i = 3, #KEYS do
  for _, value in ipairs({keys[i].s, keys[i].n, keys[i].p}) do result[#result + 1] = value end
end
return result
