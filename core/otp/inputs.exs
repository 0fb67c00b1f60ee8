# Loaded by Release.Build before Mix: a task that writes the paths that the
# project reads besides its own directory's, one a line.
defmodule Mix.Tasks.Leanlab.Inputs do
  use Mix.Task

  def run([file]) do
    project = Mix.Project.config()
    config = Path.dirname(project[:config_path])
    dependencies = Map.values(Mix.Project.deps_paths())
    paths = for path <- [config, project[:lockfile] | dependencies], do: [Path.expand(path), ?\n]
    File.write!(file, paths)
  end
end
