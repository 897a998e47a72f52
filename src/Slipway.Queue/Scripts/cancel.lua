#!lua flags=allow-oom
-- Cancels a tracked job: one that waits for others ends now, one in line ends when it is taken, a running one is told.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2 ms that ends are kept  3 id
-- Returns  1, or 0 when it is not known or at its end
-- O(1), plus O(w) for w jobs that wait for it.
--#include keys
local WAKE, KEEP = ARGV[1], tonumber(ARGV[2])
--#include entry
--#include lines
--#include ends
local id = ARGV[3]
local stored = redis.call('HGET', JOBS, id)
local job = stored and cmsgpack.unpack(stored)
if not job or job[2] > 2 then
  return 0
end
if job[2] == 0 then
  local entry = redis.call('HGET', WAITING, id)
  redis.call('HDEL', WAITING, id)
  redis.call('HINCRBY', META, 'live', -1)
  redis.call('HINCRBY', META, 'bytes', -#entry)
  redis.call('HINCRBY', TOTALS, 'cancelled', 1)
  finish(entry, CANCELLED, 'cancelled', '')
  return 1
end
job[9], job[8] = 1, now
redis.call('HSET', JOBS, id, cmsgpack.pack(job))
redis.call('PUBLISH', WAKE, 'c' .. id)
return 1
