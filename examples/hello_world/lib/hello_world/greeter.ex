defmodule HelloWorld.Greeter do
  @moduledoc """
  Greets once when it starts, then stays alive.
  """

  use GenServer

  @doc "The line that is printed."
  def greeting do
    "Hello from Elixir #{System.version()} on OTP #{System.otp_release()}"
  end

  def start_link(_options) do
    GenServer.start_link(__MODULE__, [])
  end

  # The greeting is printed before start_link returns, and so before the
  # application counts as started.
  @impl true
  def init(state) do
    IO.puts(greeting())
    {:ok, state}
  end
end
