package main

import (
	"os"
	"strings"
	"testing"
)

var someInherited = map[string]bool{"VERSION": true, "SOURCE": true}

func TestASymbolTouchesTheHostsPackageIfItsVariablesComeOfIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, makefile string
		want           bool
	}{
		{"the target's options", "ifeq ($(BR2_X),y)\nFOO_CONF_OPTS += --x\nelse\nFOO_CONF_OPTS += --no-x\nendif\n", false},
		{"the host's options", "ifeq ($(BR2_X),y)\nHOST_FOO_CONF_OPTS += --x\nendif\n", true},
		{"the host's in the other branch", "ifneq ($(BR2_X),y)\nelse\nHOST_FOO_CONF_OPTS += --x\nendif\n", true},
		{"another branch's condition", "ifeq ($(BR2_Y),y)\nelse ifeq ($(BR2_X),y)\nHOST_FOO_CONF_OPTS += --x\nendif\n", true},
		{"a condition around", "ifeq ($(BR2_X),y)\nifeq ($(BR2_Y),y)\nHOST_FOO_CONF_OPTS += --x\nendif\nendif\n", true},
		{"after the condition", "ifeq ($(BR2_X),y)\nFOO_CONF_OPTS += --x\nendif\nHOST_FOO_CONF_OPTS += --y\n", false},
		{"by way of the target's", "FOO_APPS = $(BR2_X)\nFOO_COMMON = $(FOO_APPS)\nHOST_FOO_CONF_OPTS = \\\n\t--a \\\n\t$(FOO_COMMON)\n", true},
		{"used before it is set", "HOST_FOO_CONF_OPTS = $(FOO_COMMON)\nFOO_COMMON = $(BR2_X)\n", true},
		{"handed down", "FOO_VERSION = $(call qstrip,$(BR2_X))\n", true},
		{"a variable of nobody's", "SHARED = $(BR2_X)\n", true},
		{"the target's commands", "define FOO_BUILD_CMDS\n\t$(if $(BR2_X),a,b)\nendef\n", false},
		{"the host's commands", "define HOST_FOO_BUILD_CMDS\n\t$(if $(BR2_X),a,b)\nendef\n", true},
		{"commands under a condition", "ifeq ($(BR2_X),y)\ndefine HOST_FOO_BUILD_CMDS\n\ta\nendef\nendif\n", true},
		{"a rule", "$(FOO_DIR)/x: $(BR2_X)\n\ttouch $@\n", true},
		{"a rule's command that looks like an assignment", "x:\n\tFOO_Y=$(BR2_X) make\n", true},
		{"a computed name", "FOO_CONF_OPTS = $(BR2_X)\nHOST_FOO_CONF_OPTS = $($(WHICH)_CONF_OPTS)\n", true},
		{"a longer symbol", "HOST_FOO_CONF_OPTS = $(BR2_X_Y)\n", false},
		{"a comment", "# BR2_X is not for the host\nHOST_FOO_CONF_OPTS = --y\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := touchesHost(tt.makefile, "BR2_X", "FOO", someInherited); got != tt.want {
				t.Errorf("got %v for\n%s", got, tt.makefile)
			}
			if !touchesHost(tt.makefile, "BR2_X", "FOO", nil) {
				t.Error("without knowing the infrastructure it says no")
			}
		})
	}
}

// What the external tree's README promises: another emulator, or another way to
// link it, compiles no library again.
func TestAnotherEmulatorDoesNotTouchTheHostsOTP(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../buildroot-external/package/leanlab-otp/leanlab-otp.mk")
	if err != nil {
		t.Fatal(err)
	}
	for symbol, want := range map[string]bool{
		"JIT": false, "STATIC": false, "CRYPTO": false, "TERMCAP": false, "PROGRAMS": false, "PLAIN_EMULATOR": false,
		"VERSION": true, "TARBALL": true, "APPLICATIONS": true,
	} {
		symbol = "BR2_PACKAGE_LEANLAB_OTP_" + symbol
		if !strings.Contains(string(text), symbol) {
			t.Errorf("the makefile does not read %s", symbol)
		}
		if got := touchesHost(string(text), symbol, "LEANLAB_OTP", someInherited); got != want {
			t.Errorf("%s: %v, want %v", symbol, got, want)
		}
	}
}

func FuzzTouchesHost(f *testing.F) {
	f.Add("ifeq ($(BR2_X),y)\nFOO_A = \\\n b\nendif\ndefine HOST_FOO_B\n$(FOO_A)\nendef\n")
	f.Add("else\nendif\nendef\n\tx = y\n= z\ndefine \n")
	f.Fuzz(func(t *testing.T, makefile string) {
		// Only what is said of a symbol, or cannot be understood, touches anything.
		if !strings.Contains(makefile, "BR2_X") && !strings.Contains(makefile, "$($(") &&
			touchesHost(makefile, "BR2_X", "FOO", someInherited) {
			t.Error("it is touched by a symbol that is not there")
		}
		// The host's own variable of it is found, whatever stands before it.
		if tail := "\nendef\nHOST_FOO_Z = $(BR2_X)\n"; !touchesHost(makefile+tail, "BR2_X", "FOO", someInherited) &&
			!strings.HasSuffix(makefile, "\\") {
			t.Error("the host's variable is not found")
		}
	})
}
