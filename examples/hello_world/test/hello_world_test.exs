defmodule HelloWorldTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureIO

  test "greets in one line with the versions that it runs on" do
    output = capture_io(fn -> assert {:ok, _pid} = HelloWorld.Greeter.start_link([]) end)

    assert output == "Hello from Elixir #{System.version()} on OTP #{System.otp_release()}\n"
  end

  test "stays alive under its supervisor" do
    assert [{HelloWorld.Greeter, pid, :worker, _modules}] =
             Supervisor.which_children(HelloWorld.Supervisor)

    assert Process.alive?(pid)
  end
end
