package source

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// registryScheme begins the URL of a manifest or blob in a registry of container
// images: oci://REGISTRY/REPOSITORY/manifests/TAG, …/blobs/sha256:…
const registryScheme = "oci://"

// registries are the clients of repositories: a registry wants a token for each,
// which is had by asking (OCI Distribution Specification; the token is Docker's).
// Credentials are those of docker login and podman login.
type registries struct {
	base    http.RoundTripper
	mu      sync.Mutex
	clients map[string]*registryClient
}

type registryClient struct {
	once   sync.Once
	client *http.Client
	err    error
}

// found translates an oci:// URL.
func (r *registries) found(ctx context.Context, release Release, url string) (found, error) {
	rest := strings.TrimPrefix(url, registryScheme)
	kind, at := "/manifests/", strings.LastIndex(rest, "/manifests/")
	if at < 0 {
		kind, at = "/blobs/", strings.LastIndex(rest, "/blobs/")
	}
	if at < 0 {
		return found{}, fmt.Errorf("%s: names neither a manifest nor a blob", url)
	}
	repository, err := name.NewRepository(rest[:at], name.StrictValidation)
	if err != nil {
		return found{}, fmt.Errorf("%s: %w", url, err)
	}
	client, err := r.client(ctx, repository)
	if err != nil {
		return found{}, err
	}
	return found{release: release, client: client,
		url: fmt.Sprintf("%s://%s/v2/%s%s%s", repository.Scheme(), repository.RegistryStr(), repository.RepositoryStr(), kind, rest[at+len(kind):])}, nil
}

func (r *registries) client(ctx context.Context, repository name.Repository) (*http.Client, error) {
	r.mu.Lock()
	c, ok := r.clients[repository.Name()]
	if !ok {
		c = &registryClient{}
		r.clients[repository.Name()] = c
	}
	r.mu.Unlock()
	c.once.Do(func() {
		var auth authn.Authenticator
		if auth, c.err = authn.Resolve(ctx, authn.DefaultKeychain, repository.Registry); c.err != nil {
			return
		}
		// The first request is part of this: like a list, it is given up soon.
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		var t http.RoundTripper
		if t, c.err = transport.NewWithContext(ctx, repository.Registry, auth, r.base, []string{repository.Scope(transport.PullScope)}); c.err == nil {
			c.client = &http.Client{Transport: acceptManifests{t}}
		}
	})
	return c.client, c.err
}

// acceptManifests asks for what a registry has, and not for a manifest of the
// oldest kind made of it.
type acceptManifests struct{ http.RoundTripper }

var manifestTypes = strings.Join([]string{
	string(types.OCIImageIndex), string(types.OCIManifestSchema1), string(types.DockerManifestList), string(types.DockerManifestSchema2),
}, ", ")

func (a acceptManifests) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.URL.Path, "/manifests/") {
		req = req.Clone(req.Context())
		req.Header.Set("Accept", manifestTypes)
	}
	return a.RoundTripper.RoundTrip(req)
}
