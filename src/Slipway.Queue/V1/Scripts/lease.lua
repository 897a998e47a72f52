#!lua flags=allow-oom
-- Promotes due delayed jobs, then hands out the oldest ready job under a new fencing token.
-- allow-oom: a queue in a full Redis must be able to work itself out of it.
-- KEYS  1 ready  2 delayed  3 leases  4 dead  5 jobs  6 runs  7 errors  8 token
-- ARGV  1 lease, ms  2 most jobs to promote
-- Returns  {id, entry, attempt, losses, token, enqueued ms, now ms, deadline ms}
--          or {ms until the next delayed job is due, or -1} when nothing is ready
-- O(p log n) for p promoted jobs (bounded by ARGV 2) and one lease.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do
  redis.call('ZREM', KEYS[2], id)
  redis.call('LPUSH', KEYS[1], id)
end
while true do
  local id = redis.call('RPOP', KEYS[1])
  if not id then
    local next = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if not next[1] then
      return {-1}
    end
    return {math.max(0, math.ceil(next[2] - now))}
  end
  local entry = redis.call('HGET', KEYS[5], id)
  local run = redis.call('HGET', KEYS[6], id)
  local attempt, losses, enqueued
  if run then
    attempt, losses, enqueued = string.match(run, '^(%d+) (%d+) %d+ (%d+)$')
  end
  if entry and attempt then
    attempt = attempt + 1
    local token = redis.call('INCR', KEYS[8])
    local deadline = now + ARGV[1]
    redis.call('HSET', KEYS[6], id, string.format('%d %s %.0f %s', attempt, losses, token, enqueued))
    redis.call('ZADD', KEYS[3], deadline, id)
    return {id, entry, attempt, tonumber(losses), token, tonumber(enqueued), now, deadline}
  end
  -- Only hands other than ours can do this to a queue. Keep the trace, never drop it, never block the others.
  redis.call('HSETNX', KEYS[5], id, '')
  redis.call('HSET', KEYS[6], id, '0 0 0 0')
  redis.call('HSET', KEYS[7], id, 'damaged: the job body or its run record is missing')
  redis.call('ZADD', KEYS[4], now, id)
end
