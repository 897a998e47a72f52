#!lua flags=allow-oom
-- Gives a job back that was not done and not at fault (its worker stops): next in line, the attempt not counted.
-- KEYS  1 leases  2 ready  3 runs
-- ARGV  1 id  2 token  3 wake channel
-- Returns  1 released, 0 not ours any more (or released before)
-- O(log n). Repeating it does no harm.
local id = ARGV[1]
local run = redis.call('HGET', KEYS[3], id)
if not run then
  return 0
end
local attempt, losses, token, enqueued = string.match(run, '^(%d+) (%d+) (%d+) (%d+)$')
if token ~= ARGV[2] or redis.call('ZREM', KEYS[1], id) == 0 then
  return 0
end
redis.call('HSET', KEYS[3], id, string.format('%d %s 0 %s', attempt - 1, losses, enqueued))
redis.call('RPUSH', KEYS[2], id)
redis.call('PUBLISH', ARGV[3], '1')
return 1
