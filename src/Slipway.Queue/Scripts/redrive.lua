#!lua
-- Puts dead letters back in line with all their attempts. One whose unique key is taken stays; so do all when the queue is full.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2.. ids in the stream
-- Returns  how many went back
-- O(n log n) for n ids.
--#include keys
local WAKE = ARGV[1]
--#include entry
--#include lines
local back = 0
for i = 2, #ARGV do
  local letter = redis.call('XRANGE', DEAD, ARGV[i], ARGV[i])[1]
  local meta = redis.call('HMGET', META, 'live', 'maxjobs')
  if letter and tonumber(meta[1] or 0) < tonumber(meta[2] or 0) then
    local fields = {}
    for f = 1, #letter[2], 2 do
      fields[letter[2][f]] = letter[2][f + 1]
    end
    local entry = fields.e
    local free = true
    if readable(entry) then
      entry = with_byte(with_byte(entry, 4, 0), 5, 0)
      if bit.band(string.byte(entry, 2), UNIQUE) ~= 0 then
        local key = unique_of(entry)
        local ends = redis.call('ZSCORE', EXPIRY, 'u' .. key)
        local holder = redis.call('HGET', UNIQ, key)
        free = not holder or holder == id_of(entry) or (ends and tonumber(ends) <= now)
        if free then
          redis.call('HSET', UNIQ, key, id_of(entry))
          redis.call('ZREM', EXPIRY, 'u' .. key)
        end
      end
      if free and bit.band(string.byte(entry, 2), BATCH) ~= 0 then
        -- Its batch has counted it as failed and went on without it.
        local at = 24 + string.byte(entry, 7)
        if bit.band(string.byte(entry, 2), UNIQUE) ~= 0 then
          local _, _, next = unique_of(entry)
          at = next
        end
        entry = with_byte(string.sub(entry, 1, at - 1) .. string.sub(entry, at + 16), 2, bit.band(string.byte(entry, 2), 255 - BATCH))
      end
      if free and bit.band(string.byte(entry, 2), TRACKED) ~= 0 then
        local id = id_of(entry)
        local stored = redis.call('HGET', JOBS, id)
        local job = stored and cmsgpack.unpack(stored) or {type_of(entry), 1, 0, 0, '', '', '', now, 0, 0, {}}
        job[2], job[3], job[7], job[8], job[9] = 1, 0, '', now, 0
        redis.call('HSET', JOBS, id, cmsgpack.pack(job))
        redis.call('ZREM', EXPIRY, 'j' .. id)
      end
    end
    if free then
      redis.call('XDEL', DEAD, letter[1])
      if redis.call('HINCRBY', REASONS, fields.r, -1) <= 0 then
        redis.call('HDEL', REASONS, fields.r)
      end
      redis.call('HINCRBY', META, 'live', 1)
      redis.call('HINCRBY', META, 'bytes', #entry)
      redis.call('HINCRBY', TOTALS, 'redriven', 1)
      to_ready(entry, false)
      back = back + 1
    end
  end
end
local room = redis.call('HMGET', META, 'halted', 'maxdead')
if room[1] == 'dead letters' and redis.call('XLEN', DEAD) < tonumber(room[2]) then
  redis.call('HDEL', META, 'halted')
  redis.call('PUBLISH', WAKE, '')
end
return back
