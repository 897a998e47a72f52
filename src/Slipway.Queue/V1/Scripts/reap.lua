#!lua flags=allow-oom
-- One bounded step of tidying: expired leases go back to the head of the line, or to the dead when the job has lost its
-- worker too often; due delayed jobs become ready; done ids past their retention are forgotten.
-- KEYS  1 ready  2 delayed  3 leases  4 dead  5 done  6 runs  7 errors
-- ARGV  1 most entries of each kind per step  2 most lost leases of one job  3 retention of done ids, ms  4 wake channel
-- Returns  {leases put back, jobs declared dead, delayed jobs promoted, done ids forgotten}
-- O(k log n) for k = ARGV 1. Call again while any number reaches ARGV 1.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local back, died = 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[1])) do
  redis.call('ZREM', KEYS[3], id)
  local run = redis.call('HGET', KEYS[6], id) or '0 0 0 0'
  local attempt, losses, _, enqueued = string.match(run, '^(%d+) (%d+) (%d+) (%d+)$')
  losses = losses + 1
  -- Token 0 fences the old holder off, although nobody holds the job now.
  redis.call('HSET', KEYS[6], id, string.format('%s %d 0 %s', attempt, losses, enqueued))
  if losses >= tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[7], id, 'crash loop: the job lost its worker ' .. losses .. ' times')
    redis.call('ZADD', KEYS[4], now, id)
    died = died + 1
  else
    redis.call('RPUSH', KEYS[1], id)
    back = back + 1
  end
end
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('LPUSH', KEYS[1], id)
end
if back + #due > 0 then
  redis.call('PUBLISH', ARGV[4], '1')
end
local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now - ARGV[3], 'LIMIT', 0, ARGV[1])
for _, id in ipairs(old) do
  redis.call('ZREM', KEYS[5], id)
  redis.call('HDEL', KEYS[6], id)
end
return {back, died, #due, #old}
