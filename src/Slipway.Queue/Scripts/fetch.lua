#!lua flags=allow-oom
-- Closes blocks whose every job is done, promotes due delayed jobs, and leases up to so many ready ones as new blocks.
-- allow-oom: a queue in a full Redis must be able to work itself out of it.
-- KEYS  1 meta  2 totals  3 leases  4 blocks  5 acked  6 delayed  7 limits  8 jobs  9-16 ready  17.. held, in the order of the settings' types
-- ARGV  1 most jobs  2 lease, ms  3 worker  4 version of the settings the caller knows  5 wake channel  6 count of finished blocks  7.. those
-- Returns  {now ms, ms until something is due or -1, 1 when there is more, {late blocks}, {expired blocks}, {cancelled ids}, block, entries as msgpack, …}
--          or {-1} when the settings are others: read them and call again; nothing was done
-- O(n) for n jobs closed and leased, plus O(p log d) for p ≤ 100 promoted of d delayed.
--#include entry
--#include block
--#include limits
local meta = redis.call('HMGET', KEYS[1], 'version', 'halted', 'seen', 'grace', 'levels', 'types', 'weights', 'breakers')
if meta[1] ~= ARGV[4] then
  return {-1}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local want = tonumber(ARGV[1])
local lanes = meta[6] and cmsgpack.unpack(meta[6])
local whole = lanes and lanes['']
local breakers = meta[8] and cmsgpack.unpack(meta[8])

local late = {}
for i = 7, 6 + ARGV[6] do
  -- A question mark: asked before, and the answer was lost; then it is not late but closed.
  local asked = string.sub(ARGV[i], 1, 1) == '?'
  local block = asked and string.sub(ARGV[i], 2) or ARGV[i]
  local _, size, bytes, lane = parse_block(block)
  if redis.call('ZREM', KEYS[3], block) == 1 then
    redis.call('HDEL', KEYS[4], block)
    local acked = redis.call('HGET', KEYS[5], block)
    local rest = size
    if acked then
      redis.call('HDEL', KEYS[5], block)
      rest = size - count_bits(acked)
    end
    redis.call('HINCRBY', KEYS[2], 'completed', rest)
    redis.call('HINCRBY', KEYS[1], 'live', -rest)
    redis.call('HINCRBY', KEYS[1], 'bytes', -bytes)
    if lane > 0 then
      lane_ended(KEYS[7], now, lane, rest, rest, 0, breakers)
      redis.call('PUBLISH', ARGV[5], '')
    end
    if whole then
      lane_ended(KEYS[7], now, 0, rest, rest, 0, breakers)
    end
  elseif not asked then
    late[#late + 1] = block
    redis.call('HINCRBY', KEYS[2], 'late', size)
  end
end

-- Nobody called for long: Redis stood still, or every worker was cut off. Leases that ran out meanwhile could not be renewed, so
-- their holders get a little time to do it.
local seen = tonumber(meta[3])
local grace = tonumber(meta[4] or 0)
if not seen or now - seen >= 500 then
  redis.call('HSET', KEYS[1], 'seen', now)
  if seen and now - seen > 5000 then
    grace = now + 6000
    redis.call('HSET', KEYS[1], 'grace', grace)
  end
end
local expired = {}
if now >= grace then
  expired = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 10)
end

local next = -1
local function due_in(ms)
  if ms < 1 then ms = 1 end
  if next < 0 or ms < next then next = ms end
end
local levels = tonumber(meta[5] or 0)
local first = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
local behind = false
if first[1] then
  if tonumber(first[2]) <= now then
    local due = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now, 'LIMIT', 0, 100)
    redis.call('ZREM', KEYS[6], unpack(due))
    local by_level = {}
    for _, entry in ipairs(due) do
      local level = math.min(7, string.byte(entry, 3) or 7)
      by_level[level] = by_level[level] or {}
      table.insert(by_level[level], entry)
    end
    for level, entries in pairs(by_level) do
      redis.call('LPUSH', KEYS[9 + level], unpack(entries))
      levels = bit.bor(levels, bit.lshift(1, level))
    end
    if levels ~= tonumber(meta[5] or 0) then
      redis.call('HSET', KEYS[1], 'levels', levels)
    end
    behind = #due == 100
    -- More than this caller can take may have become ready: the others sleep until somebody tells them.
    if #due > want then
      redis.call('PUBLISH', ARGV[5], '')
    end
    first = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
  end
  if first[1] then
    due_in(math.ceil(first[2] - now))
  end
end

local result = {now, -1, 0, late, expired, {}}
if meta[2] or want == 0 then
  result[2] = meta[2] and -1 or next
  return result
end

-- What the limits of the whole queue leave.
local whole_state
if whole then
  whole_state = limit_state(KEYS[7], 0)
  if whole[2] > 0 then
    want = math.min(want, whole[2] - whole_state[3])
  end
  if whole[3] > 0 then
    local tokens = whole_state[2] == 0 and whole[4] or math.min(whole[4], whole_state[1] + (now - whole_state[2]) * whole[3] / 1000)
    whole_state[1] = tokens
    whole_state[2] = now
    want = math.min(want, math.floor(tokens + 1e-6))
    if want < 1 then
      due_in(math.ceil((1 - tokens) * 1000 / whole[3]))
    end
  end
end

local function pop(wanted)
  local present, lengths, total = {}, {}, 0
  for level = 0, 7 do
    if bit.band(levels, bit.lshift(1, level)) ~= 0 then
      present[#present + 1] = level
    end
  end
  if #present == 1 then
    return redis.call('RPOP', KEYS[9 + present[1]], wanted) or {}
  end
  local filled = {}
  for _, level in ipairs(present) do
    local length = redis.call('LLEN', KEYS[9 + level])
    if length > 0 then
      filled[#filled + 1] = level
      lengths[level] = length
      total = total + length
    end
  end
  if total == 0 then
    return {}
  end
  local quota = {}
  local left = math.min(wanted, total)
  local function give(level, count)
    count = math.min(count, left, lengths[level] - (quota[level] or 0))
    quota[level] = (quota[level] or 0) + count
    left = left - count
  end
  if #filled > 1 then
    local turn = redis.call('HINCRBY', KEYS[1], 'turn', left)
    if meta[7] then
      local weights, sum = cmsgpack.unpack(meta[7]), 0
      for _, level in ipairs(filled) do
        sum = sum + weights[level + 1]
      end
      -- Whole parts at once; what is left over goes by the fractions, picked by multiples of the golden ratio: even for one at a time.
      local fractions, rest, count = {}, left, left
      for i, level in ipairs(filled) do
        local exact = count * weights[level + 1] / sum
        fractions[i] = exact - math.floor(exact)
        rest = rest - math.floor(exact)
        give(level, math.floor(exact))
      end
      for k = 1, rest do
        local point = ((turn - k) * 0.6180339887498949 % 1) * rest
        for i, level in ipairs(filled) do
          point = point - fractions[i]
          if point < 0 then
            give(level, 1)
            break
          end
        end
      end
    else
      -- Strict, but an eighth is for the lower levels: half of that for the lowest, half for the others in turn.
      for owed = math.floor((turn - left) / 8) + 1, math.floor(turn / 8) do
        if owed % 2 == 0 or #filled == 2 then
          give(filled[#filled], 1)
        else
          give(filled[2 + math.floor(owed / 2) % (#filled - 2)], 1)
        end
      end
    end
  end
  local popped
  for _, level in ipairs(filled) do
    give(level, left)
    if quota[level] > 0 then
      local entries = redis.call('RPOP', KEYS[9 + level], quota[level])
      if popped then
        for i = 1, #entries do
          popped[#popped + 1] = entries[i]
        end
      else
        popped = entries
      end
    end
  end
  return popped or {}
end

local cancelled = result[6]
local function lease(entries, lane)
  local bytes = 0
  for i = 1, #entries do
    local entry = entries[i]
    bytes = bytes + #entry
    if bit.band(string.byte(entry, 2) or 0, TRACKED) ~= 0 and readable(entry) then
      local id = id_of(entry)
      local stored = redis.call('HGET', KEYS[8], id)
      if stored then
        local job = cmsgpack.unpack(stored)
        if job[9] == 1 then
          cancelled[#cancelled + 1] = id
        end
        job[2] = 2
        job[3] = string.byte(entry, 4) + 1
        job[8] = now
        redis.call('HSET', KEYS[8], id, cmsgpack.pack(job))
      end
    end
  end
  local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
  local block = string.format('%.0f.%d.%d.%d.%s', token, #entries, bytes, lane, ARGV[3])
  local packed = cmsgpack.pack(entries)
  redis.call('HSET', KEYS[4], block, packed)
  redis.call('ZADD', KEYS[3], now + ARGV[2], block)
  result[#result + 1] = block
  result[#result + 1] = packed
end

local general, taken = {}, 0
if levels ~= 0 and want > 0 then
  if not lanes then
    general = pop(want)
  else
    -- Entries of limited types leave the line into one of their own; at most 1,000 per call, then the caller comes again.
    local scanned = 0
    while #general < want and scanned < 1000 do
      local popped = pop(want - #general)
      if #popped == 0 then
        break
      end
      scanned = scanned + #popped
      for _, entry in ipairs(popped) do
        local lane = readable(entry) and lanes[type_of(entry)]
        if lane and lane[1] > 0 then
          redis.call('RPUSH', KEYS[16 + lane[7]], entry)
        else
          general[#general + 1] = entry
        end
      end
    end
    behind = behind or scanned >= 1000
  end
  -- One that lost its worker before gets a block of its own: if it is what kills workers, its neighbours are not to die with it.
  local together = {}
  for _, entry in ipairs(general) do
    if readable(entry) and string.byte(entry, 5) > 0 then
      lease({entry}, 0)
    else
      together[#together + 1] = entry
    end
  end
  taken = #general
  if #together > 0 then
    lease(together, 0)
  end
end
if lanes then
  -- Another one begins at each call, so that none is always served last.
  local order = {}
  for name, lane in pairs(lanes) do
    if name ~= '' then
      order[#order + 1] = lane
    end
  end
  table.sort(order, function(a, b) return a[7] < b[7] end)
  local start = now % math.max(1, #order)
  for i = 1, #order do
    local lane = order[(start + i) % #order + 1]
    local key = KEYS[16 + lane[7]]
    local free = want - taken
    if lane[8] == 0 and free > 0 and redis.call('LLEN', key) > 0 then
      local state = limit_state(KEYS[7], lane[1])
      local limit = free
      if state[5] > now then
        due_in(state[5] - now)
        limit = 0
      elseif state[5] > 0 then
        limit = math.min(limit, state[3] == 0 and 1 or 0)
      end
      if lane[2] > 0 then
        limit = math.min(limit, lane[2] - state[3])
      end
      local entries = {}
      if lane[3] > 0 then
        local tokens = state[2] == 0 and lane[4] or math.min(lane[4], state[1] + (now - state[2]) * lane[3] / 1000)
        while #entries < limit do
          local head = redis.call('LINDEX', key, 0)
          if not head then
            break
          end
          local cost = string.byte(head, 6) or 1
          -- What costs more than a full bucket goes when the bucket is full.
          local need = math.min(cost, lane[4])
          if tokens + 1e-6 < need then
            due_in(math.ceil((need - tokens) * 1000 / lane[3]))
            break
          end
          tokens = tokens - cost
          entries[#entries + 1] = redis.call('LPOP', key)
        end
        state[1] = tokens
        state[2] = now
      elseif limit > 0 then
        entries = redis.call('LPOP', key, limit) or {}
      end
      if #entries > 0 or lane[3] > 0 then
        state[3] = state[3] + #entries
        keep_limit_state(KEYS[7], lane[1], state)
      end
      if #entries > 0 then
        taken = taken + #entries
        lease(entries, lane[1])
      end
    end
  end
end
if whole_state then
  if whole[3] > 0 then
    whole_state[1] = whole_state[1] - taken
  end
  whole_state[3] = whole_state[3] + taken
  keep_limit_state(KEYS[7], 0, whole_state)
end
result[2] = next
if behind or (want > 0 and taken >= want) then
  result[3] = 1
end
return result
