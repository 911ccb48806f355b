package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func dialLocal(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func csrFor(key crypto.Signer, ids ...string) []byte {
	template := &x509.CertificateRequest{}
	for _, id := range ids {
		uri, err := url.Parse(id)
		if err != nil {
			panic(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		panic(err)
	}
	return csr
}

func pkixOf(key crypto.Signer) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return der
}

// dial opens a connection to the TCP port; svid may be nil.
func (s *site) dial(name string, svid *tls.Certificate) (caller, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it by SPIFFE's rules
		VerifyConnection:   s.verifyServer,
	}
	if svid != nil {
		config.Certificates = []tls.Certificate{*svid}
	}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	return caller{name, conn}, err
}

// verifyServer checks the server's SVID against the bundle of this moment.
func (s *site) verifyServer(state tls.ConnectionState) error {
	bundle, err := bundlev1.NewBundleClient(s.local.conn).GetBundle(s.ctx, &bundlev1.GetBundleRequest{})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	for _, authority := range bundle.X509Authorities {
		root, err := x509.ParseCertificate(authority.Asn1)
		if err != nil {
			return err
		}
		roots.AddCert(root)
	}
	chain := state.PeerCertificates
	if len(chain) == 0 || len(chain[0].URIs) != 1 {
		return errors.New("the server shows no SVID")
	}
	if id := chain[0].URIs[0].String(); id != "spiffe://"+s.td+"/spire/server" {
		return fmt.Errorf("the server is %q", id)
	}
	others := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		others.AddCert(certificate)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// mint has an SVID made over the local socket.
func (s *site) mint(path string) (*tls.Certificate, error) {
	key := newKey()
	csr := csrFor(key, "spiffe://"+s.td+path)
	minted, err := svidv1.NewSVIDClient(s.local.conn).MintX509SVID(s.ctx, &svidv1.MintX509SVIDRequest{Csr: csr})
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: minted.Svid.CertChain, PrivateKey: key}, nil
}

// dialAdmin makes an entry with the admin flag and waits until the server heeds it.
func (s *site) dialAdmin(name string) (caller, error) {
	return s.dialWith(name, "/admin", &types.Entry{Admin: true}, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := entryv1.NewEntryClient(conn).CountEntries(ctx, &entryv1.CountEntriesRequest{})
		return err
	})
}

// dialWith makes an entry for path with the rights of flags, mints its SVID and
// tries until works does: the server learns of entries with a delay.
func (s *site) dialWith(name, path string, flags *types.Entry, works func(context.Context, *grpc.ClientConn) error) (caller, error) {
	flags.SpiffeId, flags.ParentId = s.id(path), s.id("/nobody")
	flags.Selectors = []*types.Selector{{Type: "unix", Value: "uid:4242"}}
	_, err := entryv1.NewEntryClient(s.local.conn).BatchCreateEntry(s.ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{flags}})
	if err != nil {
		return caller{}, err
	}
	svid, err := s.mint(path)
	if err != nil {
		return caller{}, err
	}
	for begun := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		by, err := s.dial(name, svid)
		if err != nil {
			return caller{}, err
		}
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		err = works(ctx, by.conn)
		cancel()
		if err == nil {
			return by, nil
		}
		by.conn.Close()
		if time.Since(begun) > 30*time.Second {
			return caller{}, fmt.Errorf("no connection as %s: %w", name, err)
		}
	}
}

// selfSigned is a CA certificate of somebody else.
func selfSigned(td string) []byte {
	key := newKey()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: td}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return der
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err)
	}
	return number
}
