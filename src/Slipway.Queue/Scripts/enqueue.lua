#!lua
-- Adds plain jobs (no unique key, batch, tracking, dependency or payload beside the queue): all or, at a bound, none.
-- KEYS  1 meta  2 totals  3 delayed  4 prod  5-12 ready
-- ARGV  1 producer  2 its sequence, or 0  3 wake channel  4 jobs  5 their bytes  6 count of delayed  7.. (due ms or -delay, entry), then (level, count, entries…)
-- Returns  {1, now ms}, also for a sequence that was added before; {0, bound, now ms} at a bound; {-1} when the queue was never set up
-- O(n) for n jobs, O(n log d) for delayed ones among d.
local meta = redis.call('HMGET', KEYS[1], 'version', 'live', 'bytes', 'maxjobs', 'maxbytes', 'maxage', 'levels')
if not meta[1] then
  return {-1}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local numbered = ARGV[2] ~= '0'
if numbered then
  local last = redis.call('HGET', KEYS[4], ARGV[1])
  if last and tonumber(ARGV[2]) <= tonumber(string.match(last, '^%d+')) then
    return {1, now}
  end
end
local count, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
if (meta[2] or 0) + count > tonumber(meta[4]) then
  return {0, 'depth', now}
end
if (meta[3] or 0) + bytes > tonumber(meta[5]) then
  return {0, 'bytes', now}
end
if meta[6] then
  for level = 0, 7 do
    local oldest = redis.call('LINDEX', KEYS[5 + level], -1)
    if oldest and #oldest > 23 then
      local a, b, c, d, e, f = string.byte(oldest, 8, 13)
      if now - (((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f) > tonumber(meta[6]) then
        return {0, 'age', now}
      end
    end
  end
end
redis.call('HINCRBY', KEYS[1], 'live', count)
redis.call('HINCRBY', KEYS[1], 'bytes', bytes)
redis.call('HINCRBY', KEYS[2], 'enqueued', count)
if numbered then
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[2] .. ' ' .. now)
end
local at = 7
if ARGV[6] ~= '0' then
  local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  local soonest
  for _ = 1, ARGV[6] do
    local due = tonumber(ARGV[at])
    if due < 0 then
      due = now - due
    end
    redis.call('ZADD', KEYS[3], due, ARGV[at + 1])
    if not soonest or due < soonest then
      soonest = due
    end
    at = at + 2
  end
  if not first[1] or soonest < tonumber(first[2]) then
    redis.call('PUBLISH', ARGV[3], '')
  end
end
local levels = tonumber(meta[7] or 0)
local wake = false
while ARGV[at] do
  local level, n = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local length = redis.call('LPUSH', KEYS[5 + level], unpack(ARGV, at + 2, at + 1 + n))
  if length == n then
    wake = true
  end
  if bit.band(levels, bit.lshift(1, level)) == 0 then
    levels = bit.bor(levels, bit.lshift(1, level))
    redis.call('HSET', KEYS[1], 'levels', levels)
  end
  at = at + 2 + n
end
if wake then
  redis.call('PUBLISH', ARGV[3], '')
end
return {1, now}
