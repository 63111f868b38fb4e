-- Ends a call and corrects its tokens. Times are microseconds.
-- KEYS: the account and its running streams, each API key and its running streams, then the account's running calls.
-- ARGV: now ("" for the server's time), the ticket, then of the account and of each API key: the start of the window that its tokens
-- were taken in, the correction.
local MINUTE = 60000000
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2])
end

local function correct(key, start, by)
  if by == 0 or by < 0 and redis.call('EXISTS', key) == 0 then return end
  local v = redis.call('HMGET', key, 'ts', 'tn', 'tp')
  local s, n, p = tonumber(v[1]) or now, tonumber(v[2]) or 0, tonumber(v[3]) or 0
  local passed = now - s
  if passed >= 2 * MINUTE then
    s, n, p = now, 0, 0
  elseif passed >= MINUTE then
    s, n, p = s + MINUTE, 0, n
  end
  if n == 0 and p == 0 then s = now end
  if by > 0 or s == start then
    n = math.max(0, n + by)
  elseif s == start + MINUTE then
    p = math.max(0, p + by)
  end
  redis.call('HSET', key, 'ts', string.format('%.0f', s), 'tn', string.format('%.0f', n), 'tp', string.format('%.0f', p))
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, 180000) end
end

redis.call('ZREM', KEYS[#KEYS], ARGV[2])
for i = 1, #KEYS - 1, 2 do
  redis.call('ZREM', KEYS[i + 1], ARGV[2])
  correct(KEYS[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
end
return 1
