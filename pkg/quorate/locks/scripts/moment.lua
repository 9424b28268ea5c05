-- moment: the time and what is so many µs later, in digits. The same as
-- `digits(micros + later)` for a fraction of the time, which is felt in the short ways.
-- Needs `clock`.
local function moment(later)
  local fraction = time[2] + later
  if fraction > 999999 then
    return digits(micros + later)
  end
  return time[1] .. string.format('%06d', fraction)
end

-- A block of tokens above `last`: its first, both ends in digits, and the time in ms.
local function fresh_block(last)
  if last >= micros then
    return last + 1, digits(last + 1), digits(last + 32), digits(now)
  end
  local token = moment(0)
  return micros, token, moment(31), string.sub(token, 1, -4)
end
