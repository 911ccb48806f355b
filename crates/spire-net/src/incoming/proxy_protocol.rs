//! The PROXY protocol, versions 1 and 2: how a load balancer tells whose connection it passes on (SA-213).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

const V1_START: &[u8] = b"PROXY ";
/// The longest header of version 1, line end included.
const V1_MAX: usize = 107;
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Two addresses of the largest family and a generous lot of extensions.
const V2_MAX: usize = 4096;

/// A connection was refused for its header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("PROXY protocol header from an address that is not in proxy_protocol_trusted_cidrs")]
    Untrusted,
    #[error("malformed PROXY protocol header")]
    Malformed,
    #[error("failed to read the PROXY protocol header: {0}")]
    Read(#[from] io::Error),
}

/// A text that is no network in CIDR form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct BadCidr(pub String);

/// The networks whose headers are believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedNetworks(Vec<Network>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl TrustedNetworks {
    /// Parses texts such as `10.0.0.0/8` and `fd00::/8`.
    pub fn parse<T: AsRef<str>>(cidrs: impl IntoIterator<Item = T>) -> Result<Self, BadCidr> {
        cidrs.into_iter().map(|cidr| cidr.as_ref().parse()).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In CIDR form.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|network| format!("{}/{}", network.address, network.prefix))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for Network {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let canonical = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| canonical).ok_or_else(bad)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.prefix);
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.prefix);
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Takes the header off the connection, if there is one. `None`: there is none, or it names nobody.
///
/// Not a byte of what follows is taken.
pub(super) async fn read(stream: &mut TcpStream, trusted: bool) -> Result<Option<SocketAddr>, ProxyError> {
    // No TLS client starts with one of these two bytes.
    let mut first = [0];
    let header = match stream.peek(&mut first).await? {
        0 => return Ok(None),
        _ => first[0] == V1_START[0] || first[0] == V2_START[0],
    };
    match (header, trusted) {
        (false, _) => Ok(None),
        (true, false) => Err(ProxyError::Untrusted),
        (true, true) if first[0] == V1_START[0] => read_v1(stream).await,
        (true, true) => read_v2(stream).await,
    }
}

/// What the first bytes of a connection from a trusted proxy say.
#[doc(hidden)]
pub async fn read_header(mut bytes: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    match bytes.first() {
        Some(first) if *first == V1_START[0] => read_v1(&mut bytes).await,
        Some(first) if *first == V2_START[0] => read_v2(&mut bytes).await,
        _ => Ok(None),
    }
}

async fn read_v1(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyError> {
    let mut line = [0; V1_MAX];
    let mut length = 0;
    // Byte by byte, as where it ends is only known at its end. Headers are short and come once per connection.
    loop {
        if length == V1_MAX {
            return Err(ProxyError::Malformed);
        }
        line[length] = stream.read_u8().await?;
        length += 1;
        if line[..length].ends_with(b"\r\n") {
            return parse_v1(&line[..length - 2]);
        }
    }
}

fn parse_v1(line: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed)?;
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(ProxyError::Malformed);
    if next()? != "PROXY" {
        return Err(ProxyError::Malformed);
    }
    let family = next()?;
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let source: IpAddr = next()?.parse().map_err(|_| ProxyError::Malformed)?;
    let destination: IpAddr = next()?.parse().map_err(|_| ProxyError::Malformed)?;
    let port: u16 = next()?.parse().map_err(|_| ProxyError::Malformed)?;
    let _: u16 = next()?.parse().map_err(|_| ProxyError::Malformed)?;
    let agrees = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    if agrees && words.next().is_none() {
        Ok(Some(SocketAddr::new(source, port)))
    } else {
        Err(ProxyError::Malformed)
    }
}

async fn read_v2(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, ProxyError> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    if &head[..12] != V2_START || head[12] >> 4 != 2 {
        return Err(ProxyError::Malformed);
    }
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > V2_MAX {
        return Err(ProxyError::Malformed);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse_v2(head[12] & 0x0f, head[13], &body)
}

fn parse_v2(command: u8, family: u8, body: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    match (command, family) {
        // LOCAL: the proxy itself is calling, for a health check say. Unspecified and Unix: nothing we could use.
        (0, _) | (1, 0x00 | 0x31 | 0x32) => Ok(None),
        (1, 0x11 | 0x12) => {
            let (source, port) = body.get(..4).zip(body.get(8..10)).ok_or(ProxyError::Malformed)?;
            let source: [u8; 4] = source.try_into().map_err(|_| ProxyError::Malformed)?;
            Ok(Some(SocketAddr::new(Ipv4Addr::from(source).into(), u16::from_be_bytes([port[0], port[1]]))))
        }
        (1, 0x21 | 0x22) => {
            let (source, port) = body.get(..16).zip(body.get(32..34)).ok_or(ProxyError::Malformed)?;
            let source: [u8; 16] = source.try_into().map_err(|_| ProxyError::Malformed)?;
            Ok(Some(SocketAddr::new(Ipv6Addr::from(source).into(), u16::from_be_bytes([port[0], port[1]]))))
        }
        _ => Err(ProxyError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let trusted = TrustedNetworks::parse(["10.1.0.0/16", "fd00::/8", "192.0.2.7/32"]).unwrap();
        assert!(trusted.names().eq(["10.1.0.0/16", "fd00::/8", "192.0.2.7/32"]));
        for (address, inside) in [
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
        ] {
            assert_eq!(trusted.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(TrustedNetworks::parse(["0.0.0.0/0"]).unwrap().contains("1.2.3.4".parse().unwrap()));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/+8"] {
            assert_eq!(
                TrustedNetworks::parse([bad]).unwrap_err().to_string(),
                format!("invalid CIDR address: {bad}")
            );
        }
    }

    #[test]
    fn headers_of_version_1_name_the_client() {
        let named = parse_v1(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443").unwrap();
        assert_eq!(named, Some("192.0.2.1:56324".parse().unwrap()));
        let named = parse_v1(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2").unwrap();
        assert_eq!(named, Some("[2001:db8::1]:1".parse().unwrap()));
        assert_eq!(parse_v1(b"PROXY UNKNOWN ffff::1 x").unwrap(), None);
        for bad in [
            "PROXY",
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324",
            "PROXY TCP4 192.0.2.1 198.51.100.1 99999 1",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 2",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3",
            "PROXi TCP4 192.0.2.1 198.51.100.1 1 2",
        ] {
            assert!(parse_v1(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_of_version_2_name_the_client() {
        let body = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb, 0xff];
        assert_eq!(parse_v2(1, 0x11, &body).unwrap(), Some("192.0.2.1:56324".parse().unwrap()));
        assert_eq!(parse_v2(0, 0x11, &body).unwrap(), None);
        assert_eq!(parse_v2(1, 0x00, &[]).unwrap(), None);
        assert!(parse_v2(1, 0x11, &body[..9]).is_err());
        assert!(parse_v2(1, 0x21, &body).is_err());
        assert!(parse_v2(2, 0x11, &body).is_err());
    }
}
