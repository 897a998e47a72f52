-- Marks entries of a leased block as ended and closes it with the last. ended: those that left the queue for good.
local function mark(block, bits, ended, good, bad)
  local _, size, bytes, lane = parse_block(block)
  local before = redis.call('HGET', ACKED, block) or ''
  local merged, fresh, set = {}, 0, 0
  for i = 1, math.ceil(size / 8) do
    local old, new = string.byte(before, i) or 0, string.byte(bits, i) or 0
    if i * 8 > size then
      new = bit.band(new, bit.lshift(1, size - (i - 1) * 8) - 1)
    end
    local both = bit.bor(old, new)
    merged[i] = string.char(both)
    while both > 0 do
      set = set + 1
      both = bit.band(both, both - 1)
    end
  end
  fresh = set - count_bits(before)
  if set == size then
    redis.call('ZREM', LEASES, block)
    redis.call('HDEL', BLOCKS, block)
    redis.call('HDEL', ACKED, block)
    redis.call('HINCRBY', META, 'bytes', -bytes)
  elseif fresh > 0 then
    redis.call('HSET', ACKED, block, table.concat(merged))
  end
  if ended < 0 then
    ended, good = fresh, fresh
  end
  if ended > 0 then
    redis.call('HINCRBY', META, 'live', -ended)
  end
  if fresh > 0 then
    local types = redis.call('HMGET', META, 'whole', 'breakers')
    if lane > 0 then
      lane_ended(LIMITS, now, lane, fresh, good, bad, types[2] and cmsgpack.unpack(types[2]))
      redis.call('PUBLISH', WAKE, '')
    end
    if types[1] then
      lane_ended(LIMITS, now, 0, fresh, good, bad, nil)
      redis.call('PUBLISH', WAKE, '')
    end
  end
  return fresh
end
