-module(greeting).
-moduledoc "Fixture: has literals, funs, imports, attributes and a non-ASCII atom.".
-behaviour(gen_event).
-export([hello/1, init/1, handle_event/2, handle_call/2]).

hello(Names) ->
    lists:map(fun(Name) -> {'grüß', Name, #{kind => <<"literal">>, list => [one, two, three]}} end, Names).

init(Args) -> {ok, hello(Args)}.
handle_event(_, State) -> {ok, State}.
handle_call(_, State) -> {ok, ok, State}.
