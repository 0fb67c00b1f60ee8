%% What elementary operations of BEAM cost. `leanlab bench` puts the compiled module
%% into the guest, whose clock counts instructions, and reads the lines that run/0
%% prints; docs/architecture.md has their form.
-module(leanlab_bench).
-export([run/0]).

%% A figure is the least of so many samples. The first ones load modules and touch
%% memory for the first time, and some are interrupted by the kernel's timer, which
%% ticks every ten million instructions with our kernel (CONFIG_HZ_100): a sample of
%% some hundred thousand falls between two ticks.
-define(SAMPLES, 15).
-define(FIB, 18).

%% Printed by `user`, which is there with a shell and without one.
run() ->
    print("otp=~s emulator=~s", [erlang:system_info(otp_release), erlang:system_info(emu_flavor)]),
    try
        [print("~s operations=~b instructions=~b", [Name, N, least(N, Set)]) || {Name, N, Set} <- figures()]
    catch
        _:Reason -> print("failed ~0p", [Reason])
    end,
    print("end", []).

print(Format, Args) -> io:format(user, "leanlab: bench " ++ Format ++ "~n", Args).

%% Names, how often a sample does it, and what sets a sample up: it returns what is
%% counted.
figures() ->
    [{round_trip, 300, fun round_trip/1},
     {ets_insert, 1000, fun ets_insert/1},
     {ets_lookup, 2000, fun ets_lookup/1},
     {binary_append, 2000, fun binary_append/1},
     {binary_match, 4000, fun binary_match/1},
     {list_fold, 4000, fun list_fold/1},
     {map_update, 250, fun map_update/1},
     {call, calls(?FIB), fun call/1}].

%% Every sample has a process, and so a heap, of its own.
least(N, Set) -> lists:min([sample(N, Set) || _ <- lists:seq(1, ?SAMPLES)]).

sample(N, Set) ->
    {_, Monitor} = spawn_monitor(fun() ->
        Operations = Set(N),
        Before = os:perf_counter(nanosecond),
        Operations(),
        exit({took, os:perf_counter(nanosecond) - Before})
    end),
    receive
        {'DOWN', Monitor, process, _, {took, Instructions}} -> Instructions;
        {'DOWN', Monitor, process, _, Reason} -> exit(Reason)
    end.

%% A message to another process, and its answer.
round_trip(N) ->
    Self = self(),
    Peer = spawn_link(fun() -> answer(Self) end),
    fun() -> ask(Peer, N) end.

ask(_, 0) -> ok;
ask(Peer, N) ->
    Peer ! {self(), N},
    receive
        {Peer, N} -> ask(Peer, N - 1)
    end.

answer(Asking) ->
    receive
        {Asking, N} -> Asking ! {self(), N}
    end,
    answer(Asking).

%% A tuple into a table that grows, under a key that is new.
ets_insert(N) ->
    Table = ets:new(?MODULE, [set, private]),
    fun() -> insert(Table, N) end.

insert(_, 0) -> ok;
insert(Table, N) ->
    ets:insert(Table, {N, N}),
    insert(Table, N - 1).

ets_lookup(N) ->
    Table = ets:new(?MODULE, [set, private]),
    insert(Table, N),
    fun() -> lookup(Table, N) end.

lookup(_, 0) -> ok;
lookup(Table, N) ->
    [{N, N}] = ets:lookup(Table, N),
    lookup(Table, N - 1).

%% Four bytes more at the end of a binary.
binary_append(N) -> fun() -> append(<<>>, N) end.

append(Binary, 0) -> Binary;
append(Binary, N) -> append(<<Binary/binary, N:32>>, N - 1).

%% Four bytes off the front of a binary.
binary_match(N) ->
    Binary = append(<<>>, N),
    fun() -> match(Binary, 0) end.

match(<<Word:32, Rest/binary>>, Sum) -> match(Rest, Sum + Word);
match(<<>>, Sum) -> Sum.

%% An element of a list, given to a fun.
list_fold(N) ->
    List = lists:seq(1, N),
    fun() -> lists:foldl(fun(Element, Sum) -> Element + Sum end, 0, List) end.

%% A value of a map with a thousand keys, read and replaced. Few of them: each leaves
%% some hundred bytes behind, and a heap that grows into pages which the kernel has to
%% clear first costs some percent more or less from image to image.
map_update(N) ->
    Map = maps:from_list([{Key, 0} || Key <- lists:seq(1, 1000)]),
    fun() -> update(Map, N) end.

update(Map, 0) -> Map;
update(Map, Key) ->
    #{Key := Value} = Map,
    update(Map#{Key := Value + 1}, Key - 1).

%% A call of a function that compares, adds and subtracts.
call(_) -> fun() -> fib(?FIB) end.

fib(N) when N < 2 -> N;
fib(N) -> fib(N - 1) + fib(N - 2).

%% How many calls fib(N) takes.
calls(N) when N < 2 -> 1;
calls(N) -> 1 + calls(N - 1) + calls(N - 2).
