-- State of a limited type (lane), a msgpack list in the hash limits: tokens, at ms, running, failures in a row, open until ms, open for ms.
local function limit_state(key, lane)
  local stored = redis.call('HGET', key, lane)
  if stored then
    return cmsgpack.unpack(stored)
  end
  return {0, 0, 0, 0, 0, 0}
end
local function keep_limit_state(key, lane, state)
  redis.call('HSET', key, lane, cmsgpack.pack(state))
end
-- Jobs of a lane ended: its running count falls; good and bad runs move its breaker. Lane 0 is the whole queue, which counts only
-- while it has a limit of its own.
local function lane_ended(key, now, lane, ended, good, bad, breakers)
  local state = limit_state(key, lane)
  state[3] = math.max(0, state[3] - ended)
  local rule = breakers and breakers[tostring(lane)]
  if good > 0 then
    state[4] = 0
    state[5] = 0
    state[6] = 0
  elseif bad > 0 and rule then
    state[4] = state[4] + bad
    if state[5] > 0 or state[4] >= rule[1] then
      state[6] = math.min(rule[2] * 16, state[6] > 0 and state[6] * 2 or rule[2])
      state[5] = now + state[6]
      state[4] = 0
    end
  end
  keep_limit_state(key, lane, state)
end
