#!lua flags=no-writes,allow-stale
-- One moment of the queue.
-- KEYS  1 meta  2 totals  3 leases  4 acked  5 delayed  6 limits  7 waiting  8 dead  9 reasons  10 workers  11-18 ready  19.. held
-- ARGV  none
-- Returns  {now ms, {ready by level}, {held}, delayed, leased, waiting, dead, bytes, oldest ready ms or -1, {totals}, {reasons}, {limits}, {workers}, halted or ''}
-- O(l) for l leased blocks.
--#include block
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest = -1
local function look(entry)
  if entry and #entry > 23 and string.byte(entry, 1) == 1 then
    local a, b, c, d, e, f = string.byte(entry, 8, 13)
    local at = ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
    oldest = math.max(oldest, now - at)
  end
end
local ready, held = {}, {}
for level = 0, 7 do
  ready[level + 1] = redis.call('LLEN', KEYS[11 + level])
  look(redis.call('LINDEX', KEYS[11 + level], -1))
end
for i = 19, #KEYS do
  held[i - 18] = redis.call('LLEN', KEYS[i])
  look(redis.call('LINDEX', KEYS[i], 0))
end
local leased = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local _, size = parse_block(id)
  leased = leased + size - count_bits(redis.call('HGET', KEYS[4], id) or '')
end
local limits = {}
local states = redis.call('HGETALL', KEYS[6])
for i = 1, #states, 2 do
  local state = cmsgpack.unpack(states[i + 1])
  local breaker = state[5] == 0 and 'closed' or state[5] > now and 'open' or 'probing'
  limits[#limits + 1] = {states[i], state[3], breaker}
end
return {
  now, ready, held, redis.call('ZCARD', KEYS[5]), leased, redis.call('HLEN', KEYS[7]), redis.call('XLEN', KEYS[8]),
  tonumber(redis.call('HGET', KEYS[1], 'bytes') or 0), oldest, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[9]),
  limits, redis.call('HGETALL', KEYS[10]), redis.call('HGET', KEYS[1], 'halted') or ''
}
