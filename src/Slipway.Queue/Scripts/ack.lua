#!lua flags=allow-oom
-- Marks jobs of leased blocks as done; a block whose last job this was is closed.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2.. (block, bitmap)
-- Returns  {per block: 1 or, when its lease is lost, 0}
-- O(n/8) for n jobs of the blocks.
--#include keys
local WAKE = ARGV[1]
--#include block
--#include limits
--#include closing
local result = {}
for i = 2, #ARGV, 2 do
  if redis.call('ZSCORE', LEASES, ARGV[i]) then
    local fresh = mark(ARGV[i], ARGV[i + 1], -1, 0, 0)
    if fresh > 0 then
      redis.call('HINCRBY', TOTALS, 'completed', fresh)
    end
    result[#result + 1] = 1
  else
    redis.call('HINCRBY', TOTALS, 'late', count_bits(ARGV[i + 1]))
    result[#result + 1] = 0
  end
end
return result
