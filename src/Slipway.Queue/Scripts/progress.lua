#!lua flags=allow-oom
-- Stores how far a tracked job is.
-- KEYS  1 jobs
-- ARGV  1 id  2 percent  3 note
-- Returns  1, or 0 when it is not known or at its end
-- O(1)
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local job = stored and cmsgpack.unpack(stored)
if not job or job[2] > 2 then
  return 0
end
local time = redis.call('TIME')
job[4], job[5], job[8] = tonumber(ARGV[2]), ARGV[3], time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(job))
return 1
