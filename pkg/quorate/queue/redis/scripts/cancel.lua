#!lua flags=allow-oom
-- cancel: a task is not wanted any more.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 id, 2 how long to remember it in ms, 3 queue
-- returns a letter: c cancelled · r it runs, its worker is told · d done · x dead · u not
--         known
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include tell
-- include guards
-- include call_off
-- include follow
local letter = call_off(KEYS[1], ARGV[1], now, tonumber(ARGV[2]), '', ARGV[3])
if letter == 'c' then
  follow(KEYS[1], ARGV[3], now, {ARGV[1], 'c', ''})
end
return letter
