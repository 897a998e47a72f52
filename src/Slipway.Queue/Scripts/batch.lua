#!lua
-- Opens or closes a batch. Its callback goes in line once it is closed and its last job has ended.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2 ms that ends are kept  3 open or close  4 id  5 callback's entry, when opening
-- Returns  {total, pending, failed, 1 = open, 1 = called back}, or {} when it (or, opening, the callback's own batch) is not known or closed
-- O(1)
--#include keys
local WAKE, KEEP = ARGV[1], tonumber(ARGV[2])
--#include entry
--#include lines
local stored = redis.call('HGET', BATCHES, ARGV[4])
local batch = stored and cmsgpack.unpack(stored)
if ARGV[3] == 'open' then
  if not batch then
    if bit.band(string.byte(ARGV[5], 2), BATCH) ~= 0 then
      -- A part of another batch: that one waits for this one's callback.
      local parent = batch_of(ARGV[5])
      local outer = redis.call('HGET', BATCHES, parent)
      outer = outer and cmsgpack.unpack(outer)
      if not outer or outer[4] == 0 then
        return {}
      end
      outer[1] = outer[1] + 1
      outer[2] = outer[2] + 1
      redis.call('HSET', BATCHES, parent, cmsgpack.pack(outer))
    end
    batch = {0, 0, 0, 1, ARGV[5], 0}
    redis.call('HSET', BATCHES, ARGV[4], cmsgpack.pack(batch))
    redis.call('HINCRBY', META, 'live', 1)
    redis.call('HINCRBY', META, 'bytes', #ARGV[5])
    redis.call('HINCRBY', TOTALS, 'enqueued', 1)
  end
elseif not batch then
  return {}
elseif batch[4] == 1 then
  batch[4] = 0
  if batch[2] == 0 then
    batch[6] = 1
    to_ready(batch[5], false)
    batch[5] = ''
    redis.call('ZADD', EXPIRY, now + KEEP, 'b' .. ARGV[4])
  end
  redis.call('HSET', BATCHES, ARGV[4], cmsgpack.pack(batch))
end
return {batch[1], batch[2], batch[3], batch[4], batch[6]}
