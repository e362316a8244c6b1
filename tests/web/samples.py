"""A short honest program in each language of the code helper."""

from __future__ import annotations

PROGRAMS = {
    "Python": """\
import sys

def mean(values):
    if not values:
        return None
    return sum(values) / len(values)

print(mean([1, 2]))
""",
    "JavaScript": """\
const names = ['Ada', 'Bob'];
function greet(name) {
  console.log(`Hello ${name}`);
}
names.forEach((name) => greet(name));
""",
    "TypeScript": """\
interface Person {
  name: string;
  age?: number;
}
const greet = (who: Person): string => `Hello ${who.name}`;
""",
    "Java": """\
import java.util.List;

public class Main {
    public static void main(String[] args) {
        System.out.println(List.of(1, 2));
    }
}
""",
    "C": """\
#include <stdio.h>

int main(void) {
    char *name = "Ada";
    printf("%s\\n", name);
    return 0;
}
""",
    "C++": """\
#include <iostream>
#include <vector>

int main() {
    std::vector<int> v{1, 2};
    for (auto n : v) std::cout << n << '\\n';
}
""",
    "C#": """\
using System;

class Person
{
    public string Name { get; set; }
    static void Main()
    {
        Console.WriteLine("Hello");
    }
}
""",
    "Go": """\
package main

import "fmt"

func main() {
\tname := "Ada"
\tfmt.Println(name)
}
""",
    "Rust": """\
use std::fs;

fn main() {
    let mut total = 0;
    for n in 1..4 {
        total += n;
    }
    println!("{}", total);
}
""",
    "Kotlin": """\
data class Person(val name: String)

fun main() {
    val anna = Person("Anna")
    println(anna?.name)
}
""",
    "Swift": """\
import Foundation

func greet(name: String) -> String {
    guard !name.isEmpty else { return "?" }
    return "Hello \\(name)"
}
""",
    "PHP": """\
<?php
function greet($name) {
    echo "Hello $name";
}
greet('Ada');
""",
    "Ruby": """\
require 'json'

def greet(name)
  puts "Hello #{name}"
end

%w[Ada Bob].each do |name|
  greet(name)
end
""",
    "R": """\
library(stats)
values <- c(1, 2, 3)
average <- function(x) {
  mean(x, na.rm = TRUE)
}
print(average(values))
""",
    "SQL": """\
SELECT name, count(*) AS orders
FROM customer
JOIN orders ON orders.customer = customer.id
WHERE city = 'Bern'
GROUP BY name;
""",
    "Bash": """\
set -e
for file in *.txt; do
  if [ -f "$file" ]; then
    echo "${file}"
  fi
done
""",
    "PowerShell": """\
param([string]$Path)
$files = Get-ChildItem -Path $Path -Recurse
$files | Where-Object { $_.Length -gt 100 }
""",
    "HTML": """\
<div class="card">
  <h1>Hello</h1>
  <p>Some <a href="/x">link</a></p>
</div>
""",
    "CSS": """\
body {
  margin: 0;
  font-family: sans-serif;
}
.card {
  padding: 1rem;
  color: #333;
}
""",
}
