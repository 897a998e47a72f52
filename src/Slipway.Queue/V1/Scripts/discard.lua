#!lua flags=allow-oom
-- Forgets a dead job for good. Its id may be used again.
-- KEYS  1 dead  2 jobs  3 runs  4 errors
-- ARGV  1 id
-- Returns  1 forgotten, 0 not among the dead
-- O(log n).
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
return 1
