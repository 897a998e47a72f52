-- An entry: 1 format, 2 flags, 3 level, 4 failed runs, 5 lost leases, 6 cost, 7 length of type, 8-23 id, 24.. type, then as flagged
-- 1 unique key (length, key, 4 bytes seconds it stays taken), 2 batch (16), … payload. See JobEntry.cs.
local UNIQUE, BATCH, TRACKED, ASIDE = 1, 2, 4, 8
-- As strict as JobEntry.Read: an error half-way through a script would leave half of its work behind, again at each repetition.
local function readable(entry)
  local format, flags, _, _, _, _, type = string.byte(entry, 1, 7)
  if #entry < 24 or format ~= 1 or type == 0 then
    return false
  end
  local least = 23 + type
  if flags ~= 0 then
    if flags > 63 then
      return false
    end
    if bit.band(flags, 1) ~= 0 then
      least = least + 5 + (string.byte(entry, least + 1) or 0)
    end
    least = least + (bit.band(flags, 2) ~= 0 and 16 or 0) + (bit.band(flags, 16) ~= 0 and 5 or 0) + (bit.band(flags, 32) ~= 0 and 25 or 0)
  end
  return #entry >= least
end
local function id_of(entry)
  return string.sub(entry, 8, 23)
end
local function type_of(entry)
  return string.sub(entry, 24, 23 + string.byte(entry, 7))
end
local function unique_of(entry)
  local at = 24 + string.byte(entry, 7)
  local length = string.byte(entry, at)
  local a, b, c, d = string.byte(entry, at + length + 1, at + length + 4)
  return string.sub(entry, at + 1, at + length), ((a * 256 + b) * 256 + c) * 256 + d, at + length + 5
end
local function batch_of(entry)
  local at = 24 + string.byte(entry, 7)
  if bit.band(string.byte(entry, 2), UNIQUE) ~= 0 then
    local _, _, next = unique_of(entry)
    at = next
  end
  return string.sub(entry, at, at + 15)
end
local function with_byte(entry, position, value)
  return string.sub(entry, 1, position - 1) .. string.char(math.min(255, value)) .. string.sub(entry, position + 1)
end
