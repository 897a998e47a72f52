-- A block's id, which is also its member in leases: token.size.bytes.lane.worker
local function parse_block(block)
  local token, size, bytes, lane = string.match(block, '^(%d+)%.(%d+)%.(%d+)%.(%d+)%.')
  return tonumber(token), tonumber(size), tonumber(bytes), tonumber(lane)
end
-- Bit i of a bitmap, least significant first, is entry i of the block (from 0): ended.
local function is_set(bits, index)
  local byte = string.byte(bits, math.floor(index / 8) + 1)
  return byte ~= nil and bit.band(byte, bit.lshift(1, index % 8)) ~= 0
end
local function count_bits(bits)
  local count = 0
  for i = 1, #bits do
    local byte = string.byte(bits, i)
    while byte > 0 do
      count = count + 1
      byte = bit.band(byte, byte - 1)
    end
  end
  return count
end
