%% Installs OTP or Elixir applications, and those that they depend on, below a
%% directory of the target:
%%
%%     escript install-applications.escript strip|keep TO FROM APPLICATION...
%%
%% FROM holds directories NAME-VERSION (OTP) or NAME (Elixir). Only ebin goes:
%% priv holds what is compiled for the build host. What TO/../.. has already, or
%% what another package will bring, is not looked for: an application that FROM
%% does not have is an error only if it was named.
-mode(compile).

main([Strip, To, From | Names]) when Strip =:= "strip"; Strip =:= "keep" ->
    Dirs = [{hd(string:split(Base, "-")), Base} ||
               Base <- filelib:wildcard("*", From),
               filelib:is_dir(filename:join([From, Base, "ebin"]))],
    case [N || N <- Names, not lists:keymember(N, 1, Dirs)] of
        [] -> ok;
        Unknown -> fail("~ts: no application ~ts; there are ~ts",
                        [From, lists:join(" ", Unknown),
                         lists:join(" ", [N || {N, _} <- Dirs])])
    end,
    lists:foreach(
      fun(Name) ->
              {Name, Base} = lists:keyfind(Name, 1, Dirs),
              install(Strip, filename:join([From, Base, "ebin"]),
                      filename:join([To, Base, "ebin"])),
              io:format("~ts~n", [Base])
      end, closure(Names, Dirs, From, []));
main(_) ->
    fail("usage: install-applications.escript strip|keep TO FROM APPLICATION...", []).

closure([], _, _, Done) ->
    lists:sort(Done);
closure([Name | Rest], Dirs, From, Done) ->
    case {lists:member(Name, Done), lists:keyfind(Name, 1, Dirs)} of
        {false, {Name, Base}} ->
            File = filename:join([From, Base, "ebin", Name ++ ".app"]),
            {ok, [{application, _, Keys}]} = file:consult(File),
            Optional = proplists:get_value(optional_applications, Keys, []),
            Needed = proplists:get_value(applications, Keys, []) -- Optional,
            closure([atom_to_list(A) || A <- Needed] ++ Rest, Dirs, From, [Name | Done]);
        _ ->
            closure(Rest, Dirs, From, Done)
    end.

install(Strip, From, To) ->
    ok = filelib:ensure_path(To),
    [copy(Strip, filename:extension(F), filename:join(From, F), filename:join(To, F))
     || F <- filelib:wildcard("*.{beam,app}", From)].

%% beam_lib gzips what it strips: uncompressed modules pack a third smaller
%% inside a compressed image. Attr: what mix release keeps, too.
copy("strip", ".beam", From, To) ->
    {ok, Whole} = file:read_file(From),
    {ok, {_, Beam}} = beam_lib:strip(Whole, ["Attr"]),
    ok = file:write_file(To, uncompressed(Beam));
copy(_, _, From, To) ->
    {ok, _} = file:copy(From, To).

uncompressed(<<16#1f, 16#8b, _/binary>> = Beam) -> zlib:gunzip(Beam);
uncompressed(Beam) -> Beam.

fail(Format, Args) ->
    io:format(standard_error, Format ++ "~n", Args),
    halt(1).
