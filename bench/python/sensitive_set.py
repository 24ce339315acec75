# SPDX-License-Identifier: Apache-2.0
"""Prints sentences with sensitive data of Faker's making, and sentences without any, one JSON object a line."""

import json
import sys

from faker import Faker

fake = Faker("en_US")
count = int(sys.argv[1])
Faker.seed(int(sys.argv[2]))
values = {
    "EMAIL_ADDRESS": fake.email,
    "CREDIT_CARD": fake.credit_card_number,
    "IBAN_CODE": fake.iban,
    "US_SSN": fake.ssn,
    "IP_ADDRESS": fake.ipv4,
    "URL": fake.url,
    "PHONE_NUMBER": lambda: fake.numerify(f"({fake.random_int(2, 9)}##) {fake.random_int(2, 9)}##-####"),
    "PERSON": fake.name,
}
around = ["Please send it to {}.", "The value is {}, as far as I know.", "{} was in the form.", "We found {} yesterday."]
for entity, make in values.items():
    for i in range(count):
        value = make()
        print(json.dumps({"entity": entity, "value": value, "text": around[i % len(around)].format(value)}))
for i in range(count * 4):
    text = [fake.catch_phrase, fake.bs, lambda: fake.sentence(12), lambda: fake.paragraph(2)][i % 4]()
    number = ["", f" It costs {fake.random_int(1, 99999)} euros.", f" See chapter {i}.{i % 9}.", f" Order {fake.random_int(10**7, 10**8)}."]
    print(json.dumps({"entity": None, "text": text + number[i // 4 % 4]}))
