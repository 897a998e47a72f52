#!lua flags=allow-oom
-- Takes expired blocks from workers that were not heard of: unfinished jobs go back to the head of their line, or, lost too often, to the dead.
-- Also forgets what is past its time: ends that were kept, producers that are gone.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 wake channel  2 ms that ends are kept  3.. blocks, at most 10
-- Returns  {jobs put back, jobs died}
-- O(n log d) for n jobs of the blocks, plus O(log e) for each of at most 100 forgotten.
--#include keys
local WAKE, KEEP = ARGV[1], tonumber(ARGV[2])
math.randomseed(tonumber(time[2]))
--#include entry
--#include block
--#include limits
--#include lines
--#include ends
local meta = redis.call('HMGET', META, 'grace', 'maxlost', 'whole')
local put_back, died = 0, 0
for i = 3, #ARGV do
  local block = ARGV[i]
  local deadline = redis.call('ZSCORE', LEASES, block)
  if deadline and tonumber(deadline) <= now and now >= tonumber(meta[1] or 0) then
    local _, size, bytes, lane = parse_block(block)
    local stored = redis.call('HGET', BLOCKS, block)
    local entries = stored and cmsgpack.unpack(stored) or {}
    local ended = redis.call('HGET', ACKED, block) or ''
    redis.call('ZREM', LEASES, block)
    redis.call('HDEL', BLOCKS, block)
    redis.call('HDEL', ACKED, block)
    redis.call('HINCRBY', META, 'bytes', -bytes)
    local lost = 0
    for index = #entries - 1, 0, -1 do
      if not is_set(ended, index) then
        lost = lost + 1
        local entry = entries[index + 1]
        local losses = 0
        if readable(entry) then
          losses = string.byte(entry, 5) + 1
          entry = with_byte(entry, 5, losses)
        end
        if losses >= tonumber(meta[2] or 3) then
          died = died + 1
          redis.call('HINCRBY', META, 'live', -1)
          local error = 'its worker was never heard of again, ' .. losses .. ' times'
          bury(entry, 'crash-loop', error)
          finish(entry, DIED, error, '')
        else
          put_back = put_back + 1
          redis.call('HINCRBY', META, 'bytes', #entry)
          if losses > 1 then
            -- Apart in time: if one of those that were lost together kills workers, the others are not to be there again.
            to_delayed(entry, now + math.random(1, 2000 * losses))
          else
            to_ready(entry, true)
          end
        end
      end
    end
    redis.call('HINCRBY', TOTALS, 'lost', lost)
    if lane > 0 then
      lane_ended(LIMITS, now, lane, lost, 0, 0, nil)
      redis.call('PUBLISH', WAKE, '')
    end
    if meta[3] then
      lane_ended(LIMITS, now, 0, lost, 0, 0, nil)
    end
  end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', EXPIRY, member)
  local kind, name = string.sub(member, 1, 1), string.sub(member, 2)
  if kind == 'u' then
    redis.call('HDEL', UNIQ, name)
  elseif kind == 'j' then
    redis.call('HDEL', JOBS, name)
  elseif kind == 'b' then
    redis.call('HDEL', BATCHES, name)
  end
end
-- A producer that said nothing for a day repeats nothing any more. A few at a time; the cursor lies beside them.
local cursor = redis.call('HGET', META, 'prodcursor') or '0'
local step = redis.call('HSCAN', PROD, cursor, 'COUNT', 20)
redis.call('HSET', META, 'prodcursor', step[1])
for i = 1, #step[2], 2 do
  local at = string.match(step[2][i + 1], ' (%d+)$')
  if at and now - at > 86400000 then
    redis.call('HDEL', PROD, step[2][i])
  end
end
return {put_back, died}
