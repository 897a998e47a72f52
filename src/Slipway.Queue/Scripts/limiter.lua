#!lua
-- Reserves a place in a shared rate (GCRA, the generic cell rate algorithm of ITU-T I.371): each caller gets a moment of its own, so nobody asks twice.
-- KEYS  1 limiter
-- ARGV  1 us per unit of cost  2 us that may be saved up (burst)  3 cost  4 longest wait, us
-- Returns  us to wait, or -(us it would take) - 1 when that is longer than allowed: nothing was reserved then
-- O(1)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local place = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now - ARGV[2])
local wait = math.max(0, math.ceil(place - now))
if wait > tonumber(ARGV[4]) then
  return -wait - 1
end
local after = place + ARGV[1] * ARGV[3]
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.max(1, math.ceil((after - now + ARGV[2]) / 1000)))
return wait
