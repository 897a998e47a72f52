#!lua
-- Stores settings, when they are still those the caller knew, and counts anew what the limits count.
-- KEYS  1 meta  2 leases  3 acked  4 limits  5 dead  6.. held lists of types that have no limits any more
-- ARGV  1 version the caller knew, or '' when there were none  2 new version  3 wake channel  4.. (field, value or '' to remove)
-- Returns  1; 0 when the settings are others by now; -1 when a held list is not empty
-- O(l) for l leased blocks.
--#include block
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then
  return 0
end
for i = 6, #KEYS do
  if redis.call('LLEN', KEYS[i]) > 0 then
    return -1
  end
end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
-- Only room for dead letters ends the halt for want of it.
local bounds = redis.call('HMGET', KEYS[1], 'maxdead', 'dropdead', 'halted')
if not bounds[3] and not bounds[2] and redis.call('XLEN', KEYS[5]) >= tonumber(bounds[1]) then
  redis.call('HSET', KEYS[1], 'halted', 'dead letters')
end
local running = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local _, size, _, lane = parse_block(id)
  local left = size - count_bits(redis.call('HGET', KEYS[3], id) or '')
  running[0] = (running[0] or 0) + left
  if lane > 0 then
    running[lane] = (running[lane] or 0) + left
  end
end
for _, lane in ipairs(redis.call('HKEYS', KEYS[4])) do
  local state = cmsgpack.unpack(redis.call('HGET', KEYS[4], lane))
  state[3] = running[tonumber(lane)] or 0
  redis.call('HSET', KEYS[4], lane, cmsgpack.pack(state))
  running[tonumber(lane)] = nil
end
for lane, count in pairs(running) do
  redis.call('HSET', KEYS[4], lane, cmsgpack.pack({0, 0, count, 0, 0, 0}))
end
redis.call('PUBLISH', ARGV[3], 's')
return 1
