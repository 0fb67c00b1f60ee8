defmodule HelloWorld.MixProject do
  use Mix.Project

  def project do
    [
      app: :hello_world,
      version: "0.1.0",
      elixir: "~> 1.17",
      start_permanent: Mix.env() == :prod,
      deps: [],
      releases: [
        hello_world: [include_executables_for: [:unix]]
      ]
    ]
  end

  # No :logger among the applications: the greeting goes to standard output, and
  # OTP's own handler prints what goes wrong.
  def application do
    [mod: {HelloWorld.Application, []}]
  end
end
