defmodule HelloWorld.Application do
  @moduledoc false

  use Application

  @impl true
  def start(_type, _args) do
    Supervisor.start_link([HelloWorld.Greeter],
      strategy: :one_for_one,
      name: HelloWorld.Supervisor
    )
  end
end
