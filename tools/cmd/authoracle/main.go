// Command authoracle answers as a client made in Go answers the daemon's questions on registries.
//
// It reads one JSON object from standard input: {"hosts": [...], "salt": "base64", "payload": "base64"}, and prints an
// object by host: its credentials, the public key of the client's identity, and the payload with its signature. Docker's
// configuration is that of the environment. An error takes the place of what it kept from being answered.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
)

type question struct {
	Hosts   []string `json:"hosts"`
	Salt    []byte   `json:"salt"`
	Payload []byte   `json:"payload"`
}

type answer struct {
	Username  string `json:"username,omitempty"`
	Secret    string `json:"secret,omitempty"`
	PublicKey []byte `json:"public_key,omitempty"`
	Signed    []byte `json:"signed,omitempty"`
	Error     string `json:"error,omitempty"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		log.Fatal(err)
	}
	provider := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(os.Stderr)),
	}).(auth.AuthServer)
	answers := map[string]answer{}
	for _, host := range asked.Hosts {
		answers[host] = ask(provider, host, asked)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		log.Fatal(err)
	}
}

func ask(provider auth.AuthServer, host string, asked question) (found answer) {
	ctx := context.Background()
	credentials, err := provider.Credentials(ctx, &auth.CredentialsRequest{Host: host})
	if err != nil {
		found.Error = err.Error()
		return found
	}
	found.Username, found.Secret = credentials.Username, credentials.Secret
	key, err := provider.GetTokenAuthority(ctx, &auth.GetTokenAuthorityRequest{Host: host, Salt: asked.Salt})
	if err != nil {
		found.Error = err.Error()
		return found
	}
	found.PublicKey = key.PublicKey
	signed, err := provider.VerifyTokenAuthority(ctx, &auth.VerifyTokenAuthorityRequest{
		Host: host, Salt: asked.Salt, Payload: asked.Payload,
	})
	if err != nil {
		found.Error = err.Error()
		return found
	}
	found.Signed = signed.Signed
	return found
}
