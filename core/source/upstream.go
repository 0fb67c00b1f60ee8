package source

import (
	"context"
	"fmt"
	"strings"
)

// upstreamReleases holds one release a series. Every digest was read from the
// public package recipe that is named above it, which got it from upstream's
// own list or computed it from upstream's archive. A row whose digest cannot
// be read from such a recipe does not belong here.
//
// To move a series on: change version, URL, file and digest together, and the
// commit of the recipe. Locked builds are not affected.
var upstreamReleases = []Release{
	// buildroot/buildroot e991fa071605 linux/before-6.17/linux.hash, from
	// kernel.org pub/linux/kernel/v6.x/sha256sums.asc.
	{
		Name: "linux", Series: "6.12", Version: "6.12.104",
		URL:    "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.12.104.tar.xz",
		File:   "linux-6.12.104.tar.xz",
		SHA256: "949d166a1263bd0cf0c5aab44eeb57869615099e7c48bf88d0e4adb77379b999",
	},
	// buildroot/buildroot e991fa071605 linux/from-6.17/linux.hash, from the same list.
	{
		Name: "linux", Series: "6.18", Version: "6.18.45",
		URL:    "https://cdn.kernel.org/pub/linux/kernel/v6.x/linux-6.18.45.tar.xz",
		File:   "linux-6.18.45.tar.xz",
		SHA256: "30fa4a56579ca614ac125a12614f7f6466f87ab1278aef7b951dd74156deab33",
	},

	// OTP: the otp_src asset of the GitHub release, which ships configure; the
	// tag's archive does not have the same digest.
	// buildroot/buildroot e991fa071605 package/erlang/erlang.hash, from the
	// release's SHA256.txt.
	{
		Name: "erlang", Series: "26", Version: "26.2.5.15",
		URL:    "https://github.com/erlang/otp/releases/download/OTP-26.2.5.15/otp_src_26.2.5.15.tar.gz",
		File:   "otp_src_26.2.5.15.tar.gz",
		SHA256: "28e6d63d82927f132d56289dd3c428ef8bce6bf2283c8549aa0a7afca1a8fe3b",
	},
	// erlang/docker-erlang-otp 023b069bdcc1 27/Dockerfile, OTP_DOWNLOAD_SHA256.
	{
		Name: "erlang", Series: "27", Version: "27.3.4.15",
		URL:    "https://github.com/erlang/otp/releases/download/OTP-27.3.4.15/otp_src_27.3.4.15.tar.gz",
		File:   "otp_src_27.3.4.15.tar.gz",
		SHA256: "7643aa61a305ac95fd2dec082ec28a102c61258fc8971458af1e476519c56d31",
	},
	// erlang/docker-erlang-otp 023b069bdcc1 28/Dockerfile.
	{
		Name: "erlang", Series: "28", Version: "28.5.0.4",
		URL:    "https://github.com/erlang/otp/releases/download/OTP-28.5.0.4/otp_src_28.5.0.4.tar.gz",
		File:   "otp_src_28.5.0.4.tar.gz",
		SHA256: "efb045f96ee56d274f6c1fe3a9612b45caa01d2f82e35fe4e0ac9b0c501f6e53",
	},
	// erlang/docker-erlang-otp 023b069bdcc1 29/Dockerfile.
	{
		Name: "erlang", Series: "29", Version: "29.0.4",
		URL:    "https://github.com/erlang/otp/releases/download/OTP-29.0.4/otp_src_29.0.4.tar.gz",
		File:   "otp_src_29.0.4.tar.gz",
		SHA256: "67426425f0eed0dbd6c8cd3d500de4c47bbf1bbe337be0e2c13fc8f8f3e4997a",
	},

	// Elixir: the tag's archive, as the recipes fetch it.
	// erlef/docker-elixir 6113c3ed97ed 1.18/Dockerfile, ELIXIR_DOWNLOAD_SHA256.
	{
		Name: "elixir", Series: "1.18", Version: "1.18.4",
		URL:    "https://github.com/elixir-lang/elixir/archive/v1.18.4.tar.gz",
		File:   "elixir-1.18.4.tar.gz",
		SHA256: "8e136c0a92160cdad8daa74560e0e9c6810486bd232fbce1709d40fcc426b5e0",
	},
	// erlef/docker-elixir 074c1d5d1560 1.19/Dockerfile.
	{
		Name: "elixir", Series: "1.19", Version: "1.19.6",
		URL:    "https://github.com/elixir-lang/elixir/archive/v1.19.6.tar.gz",
		File:   "elixir-1.19.6.tar.gz",
		SHA256: "9c27c00eb9e88666ce7a3c576c1b2160875a56db10e80a49a24a8568c864d071",
	},
	// erlef/docker-elixir 9e0a6fc3bee0 1.20/Dockerfile.
	{
		Name: "elixir", Series: "1.20", Version: "1.20.4",
		URL:    "https://github.com/elixir-lang/elixir/archive/v1.20.4.tar.gz",
		File:   "elixir-1.20.4.tar.gz",
		SHA256: "2f87be1702583ecbeee82c0ad4d6353de96463cfa0fa6e7557e05f68d90da869",
	},

	// buildroot/buildroot a7e4f557f5c5 package/busybox/busybox.hash, from
	// busybox.net downloads/busybox-1.36.1.tar.bz2.sha256.
	{
		Name: "busybox", Series: "1.36", Version: "1.36.1",
		URL:    "https://busybox.net/downloads/busybox-1.36.1.tar.bz2",
		File:   "busybox-1.36.1.tar.bz2",
		SHA256: "b8cc24c9574d809e7279c3be349795c5d5ceb6fdf19ca709f80cde50e47de314",
	},
	// buildroot/buildroot ed84e971c36b package/busybox/busybox.hash; Debian's
	// busybox_1.37.0.orig.tar.bz2 is the same file.
	{
		Name: "busybox", Series: "1.37", Version: "1.37.0",
		URL:    "https://busybox.net/downloads/busybox-1.37.0.tar.bz2",
		File:   "busybox-1.37.0.tar.bz2",
		SHA256: "3311dff32e746499f4df0d5df04d7eb396382d7e108bb9250e7b519b837043a4",
	},
	// buildroot/buildroot 5a27004cffb6 package/busybox/busybox.hash.
	{
		Name: "busybox", Series: "1.38", Version: "1.38.0",
		URL:    "https://busybox.net/downloads/busybox-1.38.0.tar.bz2",
		File:   "busybox-1.38.0.tar.bz2",
		SHA256: "34f9ea6ff8636f2c9241153b9114eefa9e65674a45318ae1ef95bb5f31c53bb2",
	},

	// Buildroot publishes its digests in a signed message beside the archive,
	// buildroot-VERSION.tar.xz.sign; these were copied from there into the
	// recipes named, and into others that agree.
	// marcofortina/JanusGate 07c1c75171de scripts/build-firmware.sh.
	{
		Name: "buildroot", Series: "2025.02", Version: "2025.02.16",
		URL:    "https://buildroot.org/downloads/buildroot-2025.02.16.tar.xz",
		File:   "buildroot-2025.02.16.tar.xz",
		SHA256: "15305e3d366eeaf4a5ecaf2ed42f685fd6af7fe5dbf1f62e1de5f46ee83225e2",
	},
	// ikapa-dev/kelyfos 5a98fee60bb1 versions.mk.
	{
		Name: "buildroot", Series: "2026.02", Version: "2026.02.3",
		URL:    "https://buildroot.org/downloads/buildroot-2026.02.3.tar.xz",
		File:   "buildroot-2026.02.3.tar.xz",
		SHA256: "5a59e7501b0b4ec52c41f4bfa79412320e0b37eae5f719605a258e8d0c6fc7fb",
	},
	// j-yw/hal 9ae10c963dbd tools/microvm, the lock of its guest.
	{
		Name: "buildroot", Series: "2026.05", Version: "2026.05.1",
		URL:    "https://buildroot.org/downloads/buildroot-2026.05.1.tar.xz",
		File:   "buildroot-2026.05.1.tar.xz",
		SHA256: "ae7f706f087b9ae9083a10a587368dfbf53103c28bf81c2d690198dc4090cb58",
	},
}

// upstream is the origin of the releases listed above.
type upstream struct{ releases []Release }

func (upstream) name() string { return OriginUpstream }

// find needs no network. For a locked release it takes the URL in the lock
// file, which may be of a release that the table has left behind.
func (u upstream) find(_ context.Context, req Request, want *Release) (found, error) {
	if want != nil && isHTTP(want.URL) {
		return found{release: *want, url: want.URL}, nil
	}
	var series []string
	for _, r := range u.releases {
		if r.Name != req.Name {
			continue
		}
		if r.Series == req.Series && (want == nil || want.SHA256 == r.SHA256) {
			r.Origin = OriginUpstream
			return found{release: r, url: r.URL}, nil
		}
		if r.Series == req.Series {
			return found{}, fmt.Errorf("%s has sha256 %s", r.URL, r.SHA256)
		}
		series = append(series, r.Series)
	}
	return found{}, fmt.Errorf("no release of %s %s is listed; listed are %s", req.Name, req.Series, strings.Join(series, ", "))
}

func isHTTP(url string) bool {
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}
