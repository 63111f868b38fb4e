-- Ends a call and corrects its tokens. Times are microseconds.
-- KEYS: the account, its running calls.
-- ARGV: now ("" for the server's time), the ticket, the start of the window that its tokens were taken in, the correction.
local MINUTE = 60000000
redis.call('ZREM', KEYS[2], ARGV[2])
local by = tonumber(ARGV[4])
if by == 0 or by < 0 and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local v = redis.call('HMGET', KEYS[1], 'ts', 'tn', 'tp')
local s, n, p = tonumber(v[1]) or now, tonumber(v[2]) or 0, tonumber(v[3]) or 0
local passed = now - s
if passed >= 2 * MINUTE then
  s, n, p = now, 0, 0
elseif passed >= MINUTE then
  s, n, p = s + MINUTE, 0, n
end
if n == 0 and p == 0 then s = now end
local start = tonumber(ARGV[3])
if by > 0 or s == start then
  n = math.max(0, n + by)
elseif s == start + MINUTE then
  p = math.max(0, p + by)
end
redis.call('HSET', KEYS[1], 'ts', string.format('%.0f', s), 'tn', string.format('%.0f', n), 'tp', string.format('%.0f', p))
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], 180000) end
return 1
