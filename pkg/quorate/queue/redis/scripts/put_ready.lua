-- Tasks by lane: note them with `add`, then `put` each lane with one command.
local function new_lanes()
  return {['0'] = {}, ['1'] = {}, ['2'] = {}}
end
local function put(base, command, lanes)
  local count = 0
  for lane, ids in pairs(lanes) do
    if #ids > 0 then
      redis.call(command, base .. 'r' .. lane, unpack(ids))
      count = count + #ids
    end
  end
  return count
end
