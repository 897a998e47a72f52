#!lua flags=allow-oom
-- Moves deadlines of leased blocks to so long from now.
-- KEYS  1 leases
-- ARGV  1 lease, ms  2.. blocks
-- Returns  {per block: 1 or, when its lease is lost, 0}
-- O(b log l) for b blocks of l leased.
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local result = {}
for i = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    redis.call('ZADD', KEYS[1], 'XX', deadline, ARGV[i])
    result[#result + 1] = 1
  else
    result[#result + 1] = 0
  end
end
return result
