# Loaded by Release.Build before Mix: a task that writes the paths that the
# project reads besides its own directory's, one a line; and one that has the
# release take OTP's applications from another OTP.
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

defmodule Mix.Tasks.Leanlab.Target do
  use Mix.Task

  # What `include_erts: path` in each release of mix.exs does (Mix.Release): the
  # project need not know for which VM it is built. Where a project defines no
  # release, Mix takes one of the application's name; in an umbrella none.
  def run([erts]) do
    config = Mix.Project.config()
    default = if config[:app], do: [{config[:app], []}], else: []
    releases = with [] <- config[:releases] || [], do: default

    releases =
      for {name, options} <- releases do
        options = if is_function(options, 0), do: options.(), else: options
        {name, Keyword.put(options, :include_erts, erts)}
      end

    if releases != [], do: Mix.ProjectStack.merge_config(releases: releases)
  end
end
