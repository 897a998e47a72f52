#!lua
-- Adds jobs of any kind, each by itself (its outcome tells), all of them or, at a bound of the queue, none.
-- KEYS  all, see parts/keys.lua
-- ARGV  1 producer  2 its sequence, or 0  3 wake channel  4 jobs  5 their bytes  6 ms that ends are kept  7 schedule or ''  8 its slot, ms
--       9.. per job a msgpack list {due ms, -delay or 0, entry, payload beside the queue or '', type, ids it waits for…}
-- Returns  {1, now ms, outcome, id, …}: outcomes added, duplicate, closed, failed; {0, bound, now ms}; {-1} when the queue was never set up; {2} slot fired before
-- O(n + w) for n jobs and w dependencies.
--#include keys
local WAKE, KEEP = ARGV[3], tonumber(ARGV[6])
--#include entry
--#include lines
local meta = redis.call('HMGET', META, 'version', 'live', 'bytes', 'maxjobs', 'maxbytes')
if not meta[1] then
  return {-1}
end
local again = false
if ARGV[2] ~= '0' then
  local last = redis.call('HGET', PROD, ARGV[1])
  again = last and tonumber(ARGV[2]) <= tonumber(string.match(last, '^%d+'))
end
if ARGV[7] ~= '' then
  local fired = redis.call('HGET', CRON, ARGV[7])
  if fired and tonumber(fired) >= tonumber(ARGV[8]) then
    return {2}
  end
end
if not again then
  if (meta[2] or 0) + ARGV[4] > tonumber(meta[4]) then
    return {0, 'depth', now}
  end
  if (meta[3] or 0) + ARGV[5] > tonumber(meta[5]) then
    return {0, 'bytes', now}
  end
  if ARGV[2] ~= '0' then
    redis.call('HSET', PROD, ARGV[1], ARGV[2] .. ' ' .. now)
  end
end
if ARGV[7] ~= '' then
  redis.call('HSET', CRON, ARGV[7], ARGV[8])
end
local result = {1, now}
local added, bytes = 0, 0
for i = 9, #ARGV do
  local draft = cmsgpack.unpack(ARGV[i])
  local due, entry, payload, type = draft[1], draft[2], draft[3], draft[4]
  local flags = string.byte(entry, 2)
  local id = id_of(entry)
  local outcome, holder = 'added', id
  local key = bit.band(flags, UNIQUE) ~= 0 and unique_of(entry)
  if key then
    local held = redis.call('HGET', UNIQ, key)
    local ends = held and redis.call('ZSCORE', EXPIRY, 'u' .. key)
    if ends and tonumber(ends) <= now then
      held = nil
    end
    if held and held ~= id then
      outcome, holder = 'duplicate', held
    end
  end
  if again then
    -- The answer was lost, not the call.
    result[#result + 1] = outcome
    result[#result + 1] = holder
  else
    local batch
    if outcome == 'added' and bit.band(flags, BATCH) ~= 0 then
      local stored = redis.call('HGET', BATCHES, batch_of(entry))
      batch = stored and cmsgpack.unpack(stored)
      if not batch or batch[4] == 0 then
        outcome = 'closed'
      end
    end
    local pending, waits_for = 0, {}
    for w = 5, #draft do
      local stored = redis.call('HGET', JOBS, draft[w])
      local state = stored and cmsgpack.unpack(stored)[2]
      if not state or state > 3 then
        outcome = outcome == 'added' and 'failed' or outcome
      elseif state < 3 then
        pending = pending + 1
        waits_for[pending] = draft[w]
      end
    end
    if outcome == 'added' then
      added = added + 1
      bytes = bytes + #entry
      if key then
        redis.call('HSET', UNIQ, key, id)
        redis.call('ZREM', EXPIRY, 'u' .. key)
      end
      if batch then
        batch[1] = batch[1] + 1
        batch[2] = batch[2] + 1
        redis.call('HSET', BATCHES, batch_of(entry), cmsgpack.pack(batch))
      end
      if payload ~= '' then
        redis.call('HSET', BIG, id, payload)
      end
      if bit.band(flags, TRACKED) ~= 0 then
        redis.call('HSET', JOBS, id, cmsgpack.pack({type, pending > 0 and 0 or 1, 0, 0, '', '', '', now, 0, pending, {}}))
      end
      for _, other in ipairs(waits_for) do
        local job = cmsgpack.unpack(redis.call('HGET', JOBS, other))
        table.insert(job[11], id)
        redis.call('HSET', JOBS, other, cmsgpack.pack(job))
      end
      if pending > 0 then
        redis.call('HSET', WAITING, id, entry)
      elseif due == 0 then
        to_ready(entry, false)
      else
        to_delayed(entry, due < 0 and now - due or due)
      end
    end
    result[#result + 1] = outcome
    result[#result + 1] = holder
  end
end
if added > 0 then
  redis.call('HINCRBY', META, 'live', added)
  redis.call('HINCRBY', META, 'bytes', bytes)
  redis.call('HINCRBY', TOTALS, 'enqueued', added)
end
return result
