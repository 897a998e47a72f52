#!lua flags=allow-oom
-- The blocks of a worker that it does not know of, because the answer of their fetch was lost.
-- KEYS  1 leases  2 blocks
-- ARGV  1 worker  2.. blocks it knows
-- Returns  {now ms, block, deadline ms, entries as msgpack, …}
-- O(l) for l leased blocks.
local time = redis.call('TIME')
local known = {}
for i = 2, #ARGV do
  known[ARGV[i]] = true
end
local result = {time[1] * 1000 + math.floor(time[2] / 1000)}
local leased = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #leased, 2 do
  if not known[leased[i]] and string.match(leased[i], '^%d+%.%d+%.%d+%.%d+%.(.*)$') == ARGV[1] then
    result[#result + 1] = leased[i]
    result[#result + 1] = tonumber(leased[i + 1])
    result[#result + 1] = redis.call('HGET', KEYS[2], leased[i])
  end
end
return result
