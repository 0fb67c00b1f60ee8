# The project behind a VM without an app: its release is an iex prompt.
defmodule Console.MixProject do
  use Mix.Project

  def project do
    [app: :console, version: "1.0.0", deps: [], releases: [console: []]]
  end

  def application do
    [extra_applications: [:logger, :iex]]
  end
end
