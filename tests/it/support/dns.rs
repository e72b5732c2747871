//! A name server on the loopback that knows what tests tell it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use serde_json::Value;
use tokio::net::UdpSocket;

/// The name and the text of the record that proves a domain verification.
pub fn record(verification: &Value) -> (String, String) {
    let text = |name: &str| verification[name].as_str().unwrap();
    (
        format!("_rollcall-challenge.{}", text("domain")),
        format!("rollcall-verification={}", text("verificationToken")),
    )
}

/// What a name server says of a name. Of others it says that they do not exist.
#[derive(Clone)]
pub enum Answer {
    /// These TXT records, each of character strings.
    Records(Vec<Vec<String>>),
    /// These addresses.
    Addresses(Vec<IpAddr>),
    Code(ResponseCode),
}

#[derive(Clone, Default)]
struct Zone {
    answers: HashMap<String, Answer>,
    asked: Vec<String>,
}

/// A started name server.
#[derive(Clone)]
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = Self {
            address: socket.local_addr().unwrap(),
            zone: Arc::default(),
        };
        tokio::spawn(server.clone().answer(socket));
        server
    }

    /// Gives a name one TXT record for each text.
    pub fn set(&self, name: &str, texts: &[&str]) {
        let records = texts.iter().map(|text| vec![(*text).to_owned()]);
        self.say(name, Answer::Records(records.collect()));
    }

    /// Gives a name addresses.
    pub fn leads(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        self.say(name, Answer::Addresses(addresses.collect()));
    }

    pub fn say(&self, name: &str, answer: Answer) {
        let mut zone = self.zone.lock().unwrap();
        zone.answers.insert(name.to_owned(), answer);
    }

    /// How often a name was asked for.
    pub fn times_asked(&self, name: &str) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked.iter().filter(|asked| *asked == name).count()
    }

    async fn answer(self, socket: UdpSocket) {
        let mut buffer = [0; 4096];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let response = self.response(&query).to_vec().unwrap();
            socket.send_to(&response, client).await.unwrap();
        }
    }

    fn response(&self, query: &Message) -> Message {
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        let question = query.queries[0].clone();
        let name = question.name().clone();
        let kind = question.query_type();
        response.add_query(question);
        response.metadata.recursion_available = true;

        let mut zone = self.zone.lock().unwrap();
        let asked = name
            .to_ascii()
            .to_lowercase()
            .trim_end_matches('.')
            .to_owned();
        match zone.answers.get(&asked) {
            Some(Answer::Addresses(addresses)) => {
                let records = addresses.iter().map(|address| RData::from(*address));
                let of_kind = records.filter(|data| data.record_type() == kind);
                let records = of_kind.map(|data| Record::from_rdata(name.clone(), 60, data));
                response.add_answers(records.collect::<Vec<_>>());
            }
            Some(Answer::Records(records)) if kind == RecordType::TXT => {
                let records = records.iter().map(|strings| {
                    Record::from_rdata(name.clone(), 60, RData::TXT(TXT::new(strings.clone())))
                });
                response.add_answers(records);
            }
            Some(Answer::Code(code)) => response.metadata.response_code = *code,
            _ => response.metadata.response_code = ResponseCode::NXDomain,
        }
        zone.asked.push(asked);
        response
    }
}
