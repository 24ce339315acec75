// SPDX-License-Identifier: Apache-2.0
import type { NerEntity } from '../../engine/compiled.ts'

/** Entities that need to know names; word lists find the plain cases, and a NER endpoint the rest. */
export const NAME_ENTITIES = ['PERSON', 'LOCATION', 'ORGANIZATION', 'NRP']

const FIRST_NAMES = new Set(
  `James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph Jessica
Thomas Sarah Charles Karen Christopher Lisa Daniel Nancy Matthew Betty Anthony Margaret Mark Sandra Donald Ashley Steven
Kimberly Paul Emily Andrew Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian Dorothy George Melissa Timothy Deborah
Ronald Stephanie Edward Rebecca Jason Sharon Jeffrey Laura Ryan Cynthia Jacob Kathleen Gary Amy Nicholas Angela Eric
Shirley Jonathan Anna Stephen Brenda Larry Pamela Justin Emma Scott Nicole Brandon Helen Benjamin Samantha Samuel
Katherine Gregory Christine Alexander Debra Frank Rachel Patrick Carolyn Raymond Janet Jack Catherine Dennis Maria Jerry
Heather Tyler Diane Aaron Ruth Jose Julie Adam Olivia Nathan Joyce Henry Virginia Douglas Victoria Zachary Kelly Peter
Lauren Kyle Christina Ethan Joan Walter Evelyn Noah Judith Jeremy Megan Christian Andrea Keith Cheryl Roger Hannah Terry
Jacqueline Gerald Martha Harold Gloria Sean Teresa Austin Ann Carl Sara Arthur Madison Lawrence Frances Dylan Kathryn
Jesse Janice Jordan Jean Bryan Abigail Billy Alice Joe Julia Bruce Judy Gabriel Sophia Logan Grace Albert Denise Willie
Amber Alan Doris Juan Marilyn Wayne Danielle Elijah Beverly Randy Isabella Roy Theresa Vincent Diana Ralph Natalie Eugene
Brittany Russell Charlotte Bobby Marie Mason Kayla Philip Alexis Louis Lori Jane Bob Tom Tim Jim Mike Dave Steve Chris
Anne Ahmed Mohammed Muhammad Ali Fatima Omar Hassan Aisha Raj Priya Amit Anita Sanjay Ravi Wei Li Ming Hiroshi Yuki
Carlos Luis Miguel Sofia Lucia Pedro Pablo Marco Giulia Luca Francesca Hans Klaus Jürgen Ingrid Pierre François Marta
Jodi Tammy Eddie Bradley Lee Derrick Michele Leslie Jocelyn Alicia Frederick Jake Deanna Carrie Alexandra Brett
Courtney Allison Vanessa Tony Tamara Evan Joel Chelsea Erica Annette Whitney Tanya Chad Yvonne Tracey Tracy Makayla
Tiffany Craig Adrian Kristen Melanie Jenny Tina Allen Kelsey Dustin Candice Erika Toni Valerie Alex Jasmine Brandy Cathy
Ian Kerry Kim Jillian Jeffery Marcus Rodney Claudia Nathaniel Haley Morgan Sherry Jeff Taylor Heidi Kristine Cody Cory
Corey Curtis Darren Derek Devin Dominic Donna Doug Duane Dwayne Edgar Edwin Erin Ernest Felicia Fernando Francis Fred
Gabriela Gail Gina Glenn Gordon Grant Greg Guy Gwendolyn Harry Harvey Hayley Herbert Holly Howard Hugh Isaac Isaiah
Jackie Jamie Janet Jared Jay Jeanette Jerome Jesus Jill Jimmy Joanna Joanne Joanna Joann Jody Johnny Jonathon Jorge
Josephine Joy Juanita Judy Karl Karla Katie Katrina Kathy Kaitlyn Kari Kayla Kelli Kellie Kendra Kent Kirk Krista Kristi
Kristin Kristina Kristy Kurt Latoya Leah Lee Leon Leonard Leroy Lindsay Lindsey Lorraine Louise Luke Lydia Lynn Mackenzie
Marc Marcia Margaret Mariah Marissa Marvin Maureen Maurice Maxwell Melinda Melvin Meredith Micheal Miranda Mitchell
Molly Monica Monique Nathan Neil Norman Norma Oscar Paige Pam Patty Paula Peggy Penny Perry Phillip Preston Ramon
Raven Rebekah Regina Renee Ricardo Rick Ricky Riley Rita Rob Robin Rodriguez Ron Ronnie Rosa Ross Roberto Ruben Sabrina
Sally Savannah Selena Shane Shannon Shaun Shawn Sheila Shelby Shelia Shelley Shelly Sheri Sierra Sonia Sonya Spencer
Stacey Stacy Stacie Stanley Stefanie Stuart Sue Summer Suzanne Sydney Sylvia Tami Tara Tasha Ted Terri Terrence Theodore
Todd Tommy Tonya Traci Travis Trevor Tristan Troy Tyrone Vernon Veronica Vicki Vickie Victor Vivian Wanda Warren Wendy
Wesley Wendi Wyatt Xavier Yolanda Zoe
Ivan Olga Dmitri Natasha Sergei Björn Astrid Lars Sven Erik Nina Oliver Liam Mia Ella Lucas Leo Max Felix Clara`.split(
    /\s+/,
  ),
)

const PLACES =
  `United States|United Kingdom|Great Britain|England|Scotland|Wales|Ireland|Germany|France|Spain|Italy|Portugal|
Netherlands|Belgium|Switzerland|Austria|Poland|Sweden|Norway|Denmark|Finland|Greece|Turkey|Russia|Ukraine|China|Japan|South Korea|
North Korea|India|Pakistan|Bangladesh|Indonesia|Vietnam|Thailand|Philippines|Australia|New Zealand|Canada|Mexico|Brazil|Argentina|
Chile|Colombia|Peru|Egypt|Nigeria|Kenya|South Africa|Israel|Iran|Iraq|Saudi Arabia|New York|Los Angeles|Chicago|Houston|Phoenix|
Philadelphia|San Antonio|San Diego|Dallas|San Jose|Austin|San Francisco|Seattle|Boston|Denver|Washington|Miami|Atlanta|Detroit|
Las Vegas|London|Manchester|Paris|Berlin|Munich|Hamburg|Frankfurt|Madrid|Barcelona|Rome|Milan|Vienna|Zurich|Geneva|Amsterdam|
Brussels|Lisbon|Stockholm|Oslo|Copenhagen|Helsinki|Warsaw|Prague|Budapest|Athens|Istanbul|Moscow|Tokyo|Osaka|Beijing|Shanghai|
Hong Kong|Singapore|Seoul|Mumbai|Delhi|Bangalore|Sydney|Melbourne|Toronto|Vancouver|Montreal|California|Texas|Florida|Europe|Asia|Africa`
    .split('|')
    .map((p) => p.trim())

const CAPITALISED = `[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ'’-]{1,30}`
const PLACE = new RegExp(String.raw`(?<![\w])(?:${PLACES.join('|')})(?![\w])`, 'g')
const INTRODUCED = new RegExp(
  String.raw`\b(?:[Mm]y name is|[Nn]amed?|[Cc]alled|I am|I'm|[Tt]his is|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|Prof\.?)\s{1,3}(${CAPITALISED}(?:\s${CAPITALISED}){0,2})`,
  'g',
)
const WORD = new RegExp(`(?<![\\w])${CAPITALISED}(?![\\w])`, 'g')
const AFTER = new RegExp(
  String.raw`(?:\s(?:[A-Z]\.\s)?${CAPITALISED}(?![\w])){0,2}(?:,?\s(?:Jr|Sr|II|III|IV|MD|PhD|DDS|DVM|Esq)\b\.?)?`,
  'y',
)
const BEFORE = /(?:Mr|Mrs|Ms|Miss|Dr|Prof)\.?\s$/
const ORGANISATION = new RegExp(
  String.raw`(?<![\w])${CAPITALISED}(?:\s${CAPITALISED}){0,3}\s(?:Inc|Corp|Corporation|LLC|Ltd|GmbH|AG|Company|University|Bank)\b\.?`,
  'g',
)

/** Finds names by introduction, by common first names, and places and companies by lists. */
export function findNames(text: string, entities: readonly string[]): NerEntity[] {
  const out: NerEntity[] = []
  const add = (entity_type: string, start: number, found: string, score: number) => {
    if (entities.includes(entity_type)) out.push({ entity_type, start, end: start + found.length, score })
  }
  for (const m of text.matchAll(INTRODUCED)) {
    const name = m[1] ?? ''
    const [first = ''] = name.split(' ')
    if (
      /^(?:I am|I'm|[Tt]his is|[Cc]alled|[Nn]amed?)/.test(m[0]) &&
      !FIRST_NAMES.has(first) &&
      !name.includes(' ')
    )
      continue
    add('PERSON', m.index + m[0].length - name.length, name, 0.85)
  }
  if (entities.includes('PERSON')) out.push(...fullNames(text))
  for (const m of text.matchAll(PLACE)) add('LOCATION', m.index, m[0], 0.85)
  for (const m of text.matchAll(ORGANISATION)) add('ORGANIZATION', m.index, m[0], 0.7)
  return out
}

/** First names with their title before them and the surname and suffix after. */
function fullNames(text: string): NerEntity[] {
  const out: NerEntity[] = []
  let done = 0
  for (const { 0: first, index } of text.matchAll(WORD)) {
    if (index < done || !FIRST_NAMES.has(first)) continue
    const title = BEFORE.exec(text.slice(Math.max(0, index - 6), index))?.[0] ?? ''
    AFTER.lastIndex = index + first.length
    const rest = AFTER.exec(text)?.[0] ?? ''
    done = index + first.length + rest.length
    out.push({
      entity_type: 'PERSON',
      start: index - title.length,
      end: done,
      score: rest || title ? 0.85 : 0.6,
    })
  }
  return out
}
