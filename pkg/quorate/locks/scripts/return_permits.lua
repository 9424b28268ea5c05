#!lua flags=allow-oom
-- return_permits: end a claim of permits, held or awaited, and let in who is next.
-- Not resent by the wire itself: a second answer would say that it was not held.
-- KEYS  1 sessions
-- ARGV  1 name, 2 id, 3 echo: 1 when a copy of its acquire may still arrive
-- returns 'held' | 'waiting' | 'unknown': what it was
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
-- include permits
-- include giving_up
local was = end_permits(ARGV[1], ARGV[2])
if ARGV[3] == '1' then
  give_up(ARGV[2])
end
return was
