#!lua flags=allow-oom
-- Ends jobs of one leased block, each in its own way; the block is closed with its last job. Repeating changes nothing.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2 block  3 random number 0-1  4 ms that ends are kept  5.. (index, kind, delay ms, reason, error, result)
--       kinds: completed, retry, failed, dead, released, cancelled
-- Returns  1, or 0 when the lease is lost
-- O(b) for a block of b jobs, O(log d) per retry.
--#include keys
local WAKE, KEEP = ARGV[1], tonumber(ARGV[4])
--#include entry
--#include block
--#include limits
--#include lines
--#include ends
--#include closing
local block = ARGV[2]
if not redis.call('ZSCORE', LEASES, block) then
  redis.call('HINCRBY', TOTALS, 'late', (#ARGV - 4) / 6)
  return 0
end
local entries = cmsgpack.unpack(redis.call('HGET', BLOCKS, block))
local ended_before = redis.call('HGET', ACKED, block) or ''
local bits = {}
for i = 1, math.ceil(#entries / 8) do
  bits[i] = 0
end
local left, good, bad = 0, 0, 0
local function back(entry, due, attempt)
  redis.call('HINCRBY', META, 'bytes', #entry)
  if readable(entry) and bit.band(string.byte(entry, 2), TRACKED) ~= 0 then
    local id = id_of(entry)
    local stored = redis.call('HGET', JOBS, id)
    if stored then
      local job = cmsgpack.unpack(stored)
      job[2], job[8] = 1, now
      redis.call('HSET', JOBS, id, cmsgpack.pack(job))
    end
  end
  if due then
    to_delayed(entry, due)
  else
    to_ready(entry, true)
  end
end
local function die(entry, reason, error)
  left = left + 1
  bury(entry, reason, error)
  finish(entry, DIED, error, '')
end
-- From the last to the first: released ones go to the head of the line, and are to keep their order there.
for at = #ARGV - 5, 5, -6 do
  local index, kind, delay, reason, error, value = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local entry = entries[index + 1]
  local slot = math.floor(index / 8) + 1
  if entry and not is_set(ended_before, index) and bit.band(bits[slot], bit.lshift(1, index % 8)) == 0 then
    bits[slot] = bit.bor(bits[slot], bit.lshift(1, index % 8))
    local failures = (string.byte(entry, 4) or 0) + 1
    if kind == 'failed' then
      local policy = redis.call('HMGET', META, 'attempts', 'firstdelay', 'maxdelay')
      local most = tonumber(policy[1] or 1)
      if readable(entry) and bit.band(string.byte(entry, 2), 16) ~= 0 then
        local from = 24 + string.byte(entry, 7)
        if bit.band(string.byte(entry, 2), UNIQUE) ~= 0 then
          local _, _, next = unique_of(entry)
          from = next
        end
        if bit.band(string.byte(entry, 2), BATCH) ~= 0 then
          from = from + 16
        end
        local own = string.byte(entry, from)
        if own > 0 then
          most = own
        end
      end
      if failures >= most then
        kind = 'dead'
      else
        kind = 'retry'
        delay = math.min(tonumber(policy[3]), tonumber(policy[2]) * 2 ^ math.min(30, failures - 1)) * (0.5 + ARGV[3] / 2)
      end
    end
    if kind == 'completed' then
      left = left + 1
      good = good + 1
      redis.call('HINCRBY', TOTALS, 'completed', 1)
      finish(entry, COMPLETED, '', value)
    elseif kind == 'retry' then
      bad = bad + 1
      redis.call('HINCRBY', TOTALS, 'retried', 1)
      back(with_byte(entry, 4, failures), now + math.ceil(delay))
    elseif kind == 'released' then
      redis.call('HINCRBY', TOTALS, 'released', 1)
      back(entry, delay > 0 and now + delay or nil)
    elseif kind == 'cancelled' then
      left = left + 1
      redis.call('HINCRBY', TOTALS, 'cancelled', 1)
      finish(entry, CANCELLED, error, '')
    else
      bad = bad + 1
      -- Its failed runs stay as they were: the letter tells of the run that it died of.
      die(entry, reason, error)
    end
  end
end
for i = 1, #bits do
  bits[i] = string.char(bits[i])
end
mark(block, table.concat(bits), left, good, bad)
return 1
