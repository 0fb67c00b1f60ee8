% What `leanlab exec` talks to, as one expression for init(3)'s -eval. The protocol
% is in run.go. It waits for the network as long as that takes, evaluates each
% request in a process of its own and answers in the order in which they end.
%
% What the code prints goes into the answer and not to the app's console, and so do
% the compiler's diagnostics: an error's text is among them.
spawn(fun() ->
  Lacks = fun({M, F, A}) ->
    iolist_to_binary(io_lib:format("the image lacks ~p:~p/~p, which evaluating Elixir needs: lean { keep = [...] } its application", [M, F, A]))
  end,
  Explain = fun
    (error, undef, [{M, F, Args, _} | _]) when M =:= compile; M =:= elixir; M =:= elixir_expand; M =:= 'Elixir.StringIO'; M =:= 'Elixir.Code' ->
      Lacks({M, F, length(Args)});
    (Class, Reason, Stack) ->
      'Elixir.Exception':format(Class, Reason, Stack)
  end,
  Evaluate = fun(Code) ->
    {ok, IO} = 'Elixir.StringIO':open(<<>>),
    group_leader(IO, self()),
    {Outcome, Diagnostics} = 'Elixir.Code':with_diagnostics(fun() ->
      try 'Elixir.Code':eval_string(Code, [], [{file, <<"exec">>}]) of
        {Value, _} -> {<<"ok">>, 'Elixir.Kernel':inspect(Value, [{pretty, true}])}
      catch
        Class:Reason:Stack -> {<<"error">>, Explain(Class, Reason, Stack)}
      end
    end),
    {ok, {_, Printed}} = 'Elixir.StringIO':close(IO),
    {Outcome, [Printed | [[atom_to_binary(S), <<": ">>, M, <<"\n">>] || #{severity := S, message := M} <- Diagnostics]]}
  end,
  Answer = fun(Id, Code) ->
    {{Kind, Text}, Output} =
      try Evaluate(Code)
      catch
        Class:Reason:Stack -> {{<<"error">>, Explain(Class, Reason, Stack)}, <<>>}
      end,
    [Id, $\s, Kind, $\s, base64:encode(unicode:characters_to_binary(Text)), $\s, base64:encode(unicode:characters_to_binary(Output)), $\n]
  end,
  Serve = fun Serve(Socket) ->
    case gen_tcp:recv(Socket, 0) of
      {ok, Line} ->
        case string:lexemes(Line, " \n") of
          [Id, Code, <<"end">>] -> spawn(fun() -> gen_tcp:send(Socket, Answer(Id, base64:decode(Code))) end);
          _ -> ok
        end,
        Serve(Socket);
      {error, _} -> gen_tcp:close(Socket)
    end
  end,
  Connect = fun Connect() ->
    case gen_tcp:connect(@ADDRESS@, @PORT@, [binary, {packet, line}, {active, false}, {buffer, 131072}, {send_timeout, 30000}], 5000) of
      {ok, Socket} -> Serve(Socket);
      {error, _} -> timer:sleep(300)
    end,
    Connect()
  end,
  Connect()
end).
